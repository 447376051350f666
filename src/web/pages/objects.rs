//! Services, rules and settings: lists, and forms that say what is wrong while one types.

use askama::Template;
use axum::http::StatusCode;

use super::answer::{Preview, written};
use super::differences::{Group, groups, link_to};
use super::fields::{self, Field, Input};
use super::frame::Frame;
use super::lines::{Found, Line, found, lines};
use super::{Faulty, Page, ask, expected, reason, render, shown};
use crate::model::{Configuration, Object, Section, Value};
use crate::sync::Mode;
use crate::web::api;
use crate::web::asked::{Asked, Form};
use crate::web::desk::{How, What};
use crate::web::problem::Problem;
use crate::web::tag::{self, Expected};
use crate::web::view::View;

/// Objects on one page.
const PAGE: usize = 100;

#[derive(Template)]
#[template(path = "objects.html", config = "src/web/askama.toml")]
struct List {
    frame: Frame,
    section: Words,
    search: String,
    rows: Vec<Row>,
    total: usize,
    next: Option<String>,
    first: bool,
}

/// What a section is called.
#[derive(Clone, Copy)]
pub(super) struct Words {
    pub(super) many: &'static str,
    pub(super) one: &'static str,
    pub(super) path: &'static str,
    pub(super) is_services: bool,
    pub(super) is_settings: bool,
}

impl Words {
    fn of(section: Section) -> Self {
        let (many, one) = match section {
            Section::Services => ("Services", "service"),
            Section::RoutingRules => ("Rules", "rule"),
            Section::Execution => ("Settings", "settings"),
        };
        Self {
            many,
            one,
            path: api::path_of(section),
            is_services: section == Section::Services,
            is_settings: section == Section::Execution,
        }
    }
}

struct Row {
    id: String,
    link: String,
    enabled: bool,
    kind: String,
    place: String,
    detail: String,
    key: bool,
    class: Option<&'static str>,
}

pub(super) async fn list(asked: Asked, section: Section) -> Page {
    let words = Words::of(section);
    let query = asked.lenient_query();
    let search = query.text("q").unwrap_or_default().to_owned();
    let after = query.text("after").unwrap_or_default().to_owned();
    let frame = Frame::of(&asked, words.many, words.path).await;
    let compared = asked.site.compared().await?;
    let (ids, total, next) = api::page(&compared.view, section, &search.to_lowercase(), &after, PAGE);
    let rows = ids.into_iter().filter_map(|id| {
        let object = compared.view.store.live.get(section, id)?;
        let class = compared.class_of(section, id).map(crate::plan::Class::name);
        Some(row(section, id, object, class))
    });
    let rows = rows.collect();
    Ok(shown(&List { frame, section: words, search, rows, total, next, first: after.is_empty() }))
}

fn row(section: Section, id: &str, object: &Object, class: Option<&'static str>) -> Row {
    let value = |name: &str| section.field(name).and_then(|field| object.get(field)).unwrap_or(&Value::Unset);
    let text = |names: &[&str]| {
        let set = names.iter().map(|name| value(name)).find(|value| **value != Value::Unset);
        set.map_or_else(String::new, |value| value.shown().to_string())
    };
    let is_services = section == Section::Services;
    Row {
        id: id.to_owned(),
        link: link_to(section, id),
        enabled: *value("enabled") != Value::Flag(false),
        kind: if is_services { text(&["type"]) } else { text(&["primary"]) },
        place: if is_services { text(&["executable", "base_url"]) } else { text(&["fallback"]) },
        detail: if is_services { text(&["default_model"]) } else { text(&["timeout_seconds"]) },
        key: matches!(value("api_key"), Value::Secret(_) | Value::Unreadable(_)),
        class,
    }
}

#[derive(Template)]
#[template(path = "object.html", config = "src/web/askama.toml")]
struct Edit {
    frame: Frame,
    section: Words,
    is_new: bool,
    id: String,
    action: String,
    remove: String,
    etag: String,
    fields: Vec<Field>,
    services: Vec<String>,
    check: Check,
    groups: Vec<Group>,
    reason: String,
    /// Somebody else wrote meanwhile: what was typed is kept, and what changed is shown.
    overtaken: bool,
}

/// What saving would do.
#[derive(Template)]
#[template(path = "check.html", config = "src/web/askama.toml")]
struct Check {
    /// Whether anything was checked yet.
    asked: bool,
    lines: Vec<Line>,
    findings: Vec<Found>,
    problem: Option<String>,
}

impl Check {
    fn nothing() -> Self {
        Self { asked: false, lines: Vec::new(), findings: Vec::new(), problem: None }
    }

    fn of(tried: &Result<super::super::desk::Done, Problem>) -> Self {
        match tried {
            Ok(done) => {
                Self { asked: true, lines: lines(done.plan.as_ref()), findings: Vec::new(), problem: None }
            }
            Err(problem) if !problem.errors.is_empty() => {
                Self { asked: true, lines: Vec::new(), findings: found(&problem.errors), problem: None }
            }
            Err(problem) => Self {
                asked: true,
                lines: Vec::new(),
                findings: Vec::new(),
                problem: Some(problem.detail.clone().unwrap_or_else(|| problem.title.to_owned())),
            },
        }
    }
}

/// The services that a rule may name.
const MAX_SUGGESTIONS: usize = 500;

impl Edit {
    async fn of(asked: &Asked, section: Section, id: &str, is_new: bool) -> Result<Self, Faulty> {
        let words = Words::of(section);
        let title = match (is_new, section) {
            (true, _) => format!("New {}", words.one),
            (false, Section::Execution) => "Settings".to_owned(),
            (false, _) => id.to_owned(),
        };
        let frame = Frame::of(asked, &title, words.path).await;
        let compared = asked.site.compared().await?;
        let object = compared.view.store.live.get(section, id).filter(|_| !is_new);
        if object.is_none() && !is_new && section != Section::Execution {
            return Err(
                Problem::not_found(format!("there is no {} `{id}` in the database", words.one)).into()
            );
        }
        let of_it =
            |it: &&super::super::compared::Difference| it.path.section == section && *it.path.id == *id;
        let differences = compared.differences.iter().filter(of_it).filter(|_| !is_new).cloned().collect();
        let services = match section {
            Section::RoutingRules => services(&compared.view),
            _ => Vec::new(),
        };
        let link = link_to(section, id);
        Ok(Self {
            section: words,
            is_new,
            id: id.to_owned(),
            action: if is_new { format!("/{}/new", words.path) } else { link.clone() },
            remove: format!("{link}/remove"),
            etag: object.map(|object| tag::of_object(section, object)).unwrap_or_default(),
            fields: fields::of_object(section, object.map(|object| &**object)),
            services,
            check: Check::nothing(),
            groups: groups(asked, &compared, differences).await?,
            reason: String::new(),
            overtaken: false,
            frame,
        })
    }

    /// The same form with what somebody typed, and what is wrong with it.
    fn filled(mut self, section: Section, form: &Form, problem: Problem) -> Self {
        let key_is_set = self.fields.iter().any(|field| field.key_is_set);
        self.fields = fields::of_form(section, form, key_is_set, &problem.errors);
        form.text("reason").unwrap_or_default().clone_into(&mut self.reason);
        if self.is_new {
            form.text("id").unwrap_or_default().clone_into(&mut self.id);
        }
        self.overtaken = problem.status == 412;
        self.check = Check::of(&Err(problem));
        self
    }
}

fn services(view: &View) -> Vec<String> {
    view.ids(Section::Services).iter().take(MAX_SUGGESTIONS).map(ToString::to_string).collect()
}

fn named(asked: &Asked, section: Section) -> String {
    match section {
        Section::Execution => Configuration::EXECUTION_ID.to_owned(),
        _ => asked.part("id").to_owned(),
    }
}

pub(super) async fn new(asked: Asked, section: Section) -> Page {
    Ok(shown(&Edit::of(&asked, section, "", true).await?))
}

pub(super) async fn edit(asked: Asked, section: Section) -> Page {
    let id = named(&asked, section);
    Ok(shown(&Edit::of(&asked, section, &id, false).await?))
}

pub(super) async fn add(mut asked: Asked, section: Section) -> Page {
    let form = asked.form().await?;
    let id = form.text("id").unwrap_or_default().trim().to_owned();
    write(&asked, section, &id, &form, true).await
}

pub(super) async fn save(mut asked: Asked, section: Section) -> Page {
    let form = asked.form().await?;
    let id = named(&asked, section);
    write(&asked, section, &id, &form, false).await
}

async fn write(asked: &Asked, section: Section, id: &str, form: &Form, is_new: bool) -> Page {
    let order = super::Ask { reason: reason(form)?, ..put(asked, section, id, form, is_new, Mode::Apply) };
    match asked.site.order(order).await {
        Ok(answer) => Ok(written(&link_to(section, id), &answer)),
        Err(problem) if matches!(problem.status, 404 | 409 | 412 | 422) => {
            let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::UNPROCESSABLE_ENTITY);
            let page = Edit::of(asked, section, id, is_new).await?.filled(section, form, problem);
            Ok(render(status, &page))
        }
        Err(problem) => Err(problem.into()),
    }
}

fn put(asked: &Asked, section: Section, id: &str, form: &Form, is_new: bool, mode: Mode) -> super::Ask {
    let how = if is_new { How::Create } else { How::Merge };
    let what = What::Put { section, id: id.to_owned(), fields: fields::json(section, form, is_new), how };
    // Settings that are not there yet have no tag.
    let tag = form.text("etag").filter(|tag| !tag.is_empty());
    let expected = match (is_new, section, tag) {
        (true, _, _) | (_, Section::Execution, None) => Expected::Nothing,
        (false, _, tag) => expected(tag),
    };
    ask(asked, what, mode, expected, None)
}

/// What saving would do, while somebody types.
pub(super) async fn check(mut asked: Asked, section: Section) -> Page {
    let form = asked.form().await?;
    let is_new = form.text("new").is_some();
    let id = form.text("id").unwrap_or_default().trim().to_owned();
    let mut order = put(&asked, section, &id, &form, is_new, Mode::Plan);
    if !is_new {
        order.expected = Expected::Unsaid;
    }
    let tried = asked.site.order(order).await;
    Ok(shown(&Check::of(&tried)))
}

pub(super) async fn ask_remove(asked: Asked, section: Section) -> Page {
    let id = asked.part("id").to_owned();
    let view = asked.site.view().await?;
    let words = Words::of(section);
    let object = view.store.live.get(section, &id);
    let object = object.ok_or_else(|| Problem::not_found(format!("there is no {} `{id}`", words.one)))?;
    let tag = tag::of_object(section, object);
    let rules = crate::plan::rules_naming(&view.store.live, &id).len();
    let cascade = section == Section::Services && rules > 0;
    let what = What::Remove { section, id: id.clone(), cascade };
    let tried = asked.site.order(ask(&asked, what, Mode::Plan, Expected::Unsaid, None)).await;
    let meaning = if cascade {
        format!("It is taken out of the {rules} routing rules that name it, too. A backup is taken before.")
    } else {
        "A backup is taken before; the history has the way back.".to_owned()
    };
    let frame = Frame::of(&asked, "Remove", words.path).await;
    Ok(shown(&Preview {
        meaning,
        hidden: vec![("etag", tag), ("cascade", cascade.to_string())],
        button: "Remove".into(),
        dangerous: true,
        back: link_to(section, &id),
        ..Preview::of(frame, format!("Remove the {} {id}", words.one), tried)
    }))
}

pub(super) async fn remove(mut asked: Asked, section: Section) -> Page {
    let form = asked.form().await?;
    let cascade = form.text("cascade") == Some("true");
    let what = What::Remove { section, id: asked.part("id").to_owned(), cascade };
    let order = ask(&asked, what, Mode::Apply, expected(form.text("etag")), reason(&form)?);
    let answer = asked.site.order(order).await?;
    Ok(written(&format!("/{}", api::path_of(section)), &answer))
}
