//! Drift: each difference with what both agreed on, what the source says and what the database holds, and the answers.

use std::collections::HashMap;

use askama::Template;

use super::frame::{Fault, Frame};
use super::lines::{Found, found, text};
use super::{Page, encoded, shown};
use crate::desired::places_of;
use crate::model::{ConfigPath, Section, SourceSnapshot};
use crate::plan::Class;
use crate::web::asked::Asked;
use crate::web::compared::{Compared, Difference};

/// Differences on one page.
const PAGE: usize = 50;

/// A larger source is not searched for lines: it would take longer than anybody waits.
const MAX_SEARCHED_BYTES: usize = 4 << 20;

#[derive(Template)]
#[template(path = "drift.html", config = "src/web/askama.toml")]
struct Drift {
    frame: Frame,
    fault: Option<Fault>,
    findings: Vec<Found>,
    /// Why nothing is written: the result would not be valid.
    refused: Vec<Found>,
    groups: Vec<Group>,
    filters: Vec<Filter>,
    total: usize,
    next: Option<usize>,
    /// How many values a pass would write now.
    to_write: usize,
}

/// The differences of one object.
pub(super) struct Group {
    pub(super) path: String,
    /// Where the object is edited; nowhere when the database does not have it.
    pub(super) link: Option<String>,
    pub(super) rows: Vec<Row>,
}

/// One difference.
pub(super) struct Row {
    pub(super) path: String,
    /// The field, or what is said of a whole object.
    pub(super) name: String,
    pub(super) class: &'static str,
    pub(super) fate: String,
    pub(super) accepted: bool,
    pub(super) agreed: String,
    pub(super) source: String,
    pub(super) database: String,
    /// Whether the source's or the database's value is the one both agreed on.
    pub(super) source_moved: bool,
    pub(super) database_moved: bool,
    /// File and line of the source, and the line.
    pub(super) place: Option<(String, String)>,
    pub(super) answers: Vec<Answer>,
}

/// Something that can be done about it.
pub(super) struct Answer {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) link: String,
}

struct Filter {
    name: &'static str,
    count: usize,
    on: bool,
}

pub(super) async fn page(asked: Asked) -> Page {
    let query = asked.lenient_query();
    let class =
        query.text("class").and_then(|name| Class::ALL.into_iter().find(|class| class.name() == name));
    let start = query.text("from").and_then(|text| text.parse().ok()).unwrap_or(0_usize);
    let frame = Frame::of(&asked, "Drift", "drift").await;
    let compared = asked.site.compared().await?;
    let all: Vec<&Difference> =
        compared.differences.iter().filter(|it| class.is_none_or(|class| it.class == class)).collect();
    let (total, to_write) = (all.len(), all.iter().filter(|it| it.written_next).count());
    let next = (start + PAGE < total).then_some(start + PAGE);
    let here: Vec<Difference> = all.into_iter().skip(start).take(PAGE).cloned().collect();
    let count = |wanted| compared.differences.iter().filter(|it| it.class == wanted).count();
    let filters = Class::ALL
        .into_iter()
        .map(|it| Filter { name: it.name(), count: count(it), on: class == Some(it) })
        .filter(|filter| filter.count > 0)
        .collect();
    let refused = compared.plan.as_ref().map(|plan| found(&plan.refused)).unwrap_or_default();
    let (fault, findings) = (Fault::of(&compared.seen), found(&compared.seen.report.findings));
    let groups = groups(&asked, &compared, here).await?;
    Ok(shown(&Drift { frame, fault, findings, refused, groups, filters, total, next, to_write }))
}

/// Differences by object, with the lines of the source.
pub(super) async fn groups(
    asked: &Asked,
    compared: &std::sync::Arc<Compared>,
    differences: Vec<Difference>,
) -> Result<Vec<Group>, super::Faulty> {
    let compared = std::sync::Arc::clone(compared);
    let work = move || {
        let places = places(compared.seen.source.as_deref(), &differences);
        let mut groups: Vec<Group> = Vec::new();
        for difference in &differences {
            let object = ConfigPath { field: None, ..difference.path.clone() };
            let name = object.to_string();
            let held = compared.view.store.live.get(object.section, &object.id).is_some();
            let declared = compared.seen.desired.as_ref().map(|desired| desired.configuration());
            let declared = declared.is_some_and(|it| it.get(object.section, &object.id).is_some());
            let row = row(difference, &places, (declared, held));
            if let Some(group) = groups.iter_mut().find(|group| group.path == name) {
                group.rows.push(row);
            } else {
                let link = held.then(|| link_to(object.section, &object.id));
                groups.push(Group { path: name, link, rows: vec![row] });
            }
        }
        groups
    };
    Ok(asked.site.apart(work).await?)
}

/// Where an object is edited.
pub(super) fn link_to(section: Section, id: &str) -> String {
    match section {
        Section::Execution => "/settings".to_owned(),
        _ => format!("/{}/of/{}", super::super::api::path_of(section), encoded(id)),
    }
}

type Places = HashMap<String, (String, String)>;

/// Where the keys of differences stand in the source: file and line, and the line, masked.
fn places(source: Option<&SourceSnapshot>, differences: &[Difference]) -> Places {
    let Some(source) = source else { return Places::new() };
    let size: usize = source.documents.iter().map(|document| document.bytes.len()).sum();
    if size > MAX_SEARCHED_BYTES || differences.is_empty() {
        return Places::new();
    }
    let wanted = differences.iter().map(|it| key_of(&it.path)).collect();
    let mut places = Places::new();
    for document in &source.documents {
        let Ok(text) = std::str::from_utf8(&document.bytes) else { continue };
        for (path, at) in places_of(&document.name, text, &wanted) {
            let file = at.file.rsplit('/').next().unwrap_or(&at.file).to_owned();
            places.insert(path, (format!("{file}:{}", at.line), at.text));
        }
    }
    places
}

/// A path as the keys of a text make it.
fn key_of(path: &ConfigPath) -> String {
    let mut key = path.section.name().to_owned();
    for part in [&*path.id].into_iter().chain(path.field.map(|field| path.section.spec(field).name)) {
        if !part.is_empty() {
            key.push('.');
            key.push_str(part);
        }
    }
    key
}

/// `sides`: whether the source declares the object, and whether the database has it.
fn row(difference: &Difference, places: &Places, sides: (bool, bool)) -> Row {
    let Difference { path, class, base, source, database, .. } = difference;
    let whole = path.field.is_none();
    let side = |value: &Option<crate::model::Shown>, none: &str| match value {
        Some(value) => text(value),
        None => none.to_owned(),
    };
    let present = |there: bool| if there { "is there" } else { "is not there" }.to_owned();
    let (agreed, in_source, in_database) = match (whole, class) {
        (false, _) => (side(base, "never agreed"), side(source, "not mentioned"), side(database, "unset")),
        (true, _) => (side(base, "–"), present(sides.0), present(sides.1)),
    };
    Row {
        path: path.to_string(),
        name: path.field.map_or("the whole of it", |field| path.section.spec(field).name).to_owned(),
        class: class.name(),
        fate: difference.fate.clone(),
        accepted: difference.accepted,
        source_moved: !whole && source != base,
        database_moved: !whole && database != base,
        agreed,
        source: in_source,
        database: in_database,
        place: places.get(&key_of(path)).cloned(),
        answers: answers(path, *class, sides),
    }
}

fn answers(path: &ConfigPath, class: Class, (declared, held): (bool, bool)) -> Vec<Answer> {
    let answer = |name: &'static str, about: &'static str, kind: &str| Answer {
        name,
        about,
        link: format!("/drift/answer?as={kind}&path={}", encoded(&path.to_string())),
    };
    let revert = answer("Revert", "the source is right: its value into the database", "revert");
    let keep = answer("Keep", "leave it so, quietly, until either side moves", "keep");
    let promote = answer("Promote", "the database is right: its value into the source", "promote");
    if path.field.is_none() && held && !declared {
        // There is nothing in the source to go back to.
        let link = format!("{}/remove", link_to(path.section, &path.id));
        let remove = Answer { name: "Remove", about: "delete it from the database, too", link };
        let kept = [keep, promote].into_iter().take(if class == Class::Pending { 1 } else { 2 });
        return kept.chain([remove]).collect();
    }
    match class {
        Class::Drift | Class::Conflict => vec![revert, keep, promote],
        Class::Pending => vec![revert],
        Class::Extra | Class::Undeclared => vec![keep, promote],
        Class::Unknown => Vec::new(),
    }
}
