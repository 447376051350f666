//! What stands around every page: where one is, how the two sides stand, what was just done.

use axum::http::header;

use super::assets;
use crate::plan::Class;
use crate::report::Outcome;
use crate::web::asked::Asked;
use crate::web::board::Seen;
use crate::web::compared::Compared;

/// How things stand, in a word that the eye finds by colour and the ear by text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mood {
    Good,
    Attention,
    Bad,
    Waiting,
}

impl Mood {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Attention => "attention",
            Self::Bad => "bad",
            Self::Waiting => "waiting",
        }
    }

    /// A sign besides the colour.
    pub(super) const fn sign(self) -> &'static str {
        match self {
            Self::Good => "✓",
            Self::Attention => "!",
            Self::Bad => "✗",
            Self::Waiting => "…",
        }
    }
}

/// What is said of how the two sides stand.
pub(super) struct Verdict {
    pub(super) mood: Mood,
    pub(super) text: String,
}

/// What stands around a page.
pub(super) struct Frame {
    pub(super) title: String,
    /// The menu's entry that one is at.
    pub(super) at: &'static str,
    pub(super) verdict: Option<Verdict>,
    /// How many differences wait for an answer.
    pub(super) open: usize,
    pub(super) paused: bool,
    pub(super) theme: &'static str,
    pub(super) who: String,
    pub(super) done: Option<Said>,
    pub(super) css: &'static str,
    pub(super) js: &'static str,
}

/// What was just done, with the way back where there is one.
pub(super) struct Said {
    pub(super) text: String,
    pub(super) undo: Option<String>,
}

/// The cookie that remembers light or dark.
pub(super) const THEME: &str = "oxide_theme";

/// Every page that the menu names.
const MENU: [(&str, &str, &str); 9] = [
    ("Overview", "overview", "/"),
    ("Drift", "drift", "/drift"),
    ("Services", "services", "/services"),
    ("Rules", "rules", "/rules"),
    ("Settings", "settings", "/settings"),
    ("History", "history", "/history"),
    ("Backups", "backups", "/backups"),
    ("Activity", "activity", "/activity"),
    ("API", "docs", "/docs"),
];

/// A line of the menu.
pub(super) struct Entry {
    pub(super) name: &'static str,
    pub(super) link: &'static str,
    pub(super) here: bool,
    /// How much waits there.
    pub(super) open: usize,
}

impl Frame {
    /// The menu, as it stands on this page.
    pub(super) fn menu(&self) -> Vec<Entry> {
        let entry = |(name, at, link): (&'static str, &'static str, &'static str)| Entry {
            name,
            link,
            here: self.at == at,
            open: if at == "drift" { self.open } else { 0 },
        };
        MENU.into_iter().map(entry).collect()
    }

    /// A frame for when nothing is known, or nobody is logged in.
    pub(super) fn bare(title: &str) -> Self {
        Self {
            title: title.to_owned(),
            at: "",
            verdict: None,
            open: 0,
            paused: false,
            theme: "auto",
            who: String::new(),
            done: None,
            css: assets::css_path(),
            js: assets::js_path(),
        }
    }

    /// The frame of a page.
    pub(super) async fn of(asked: &Asked, title: &str, at: &'static str) -> Self {
        let compared = asked.site.compared().await.ok();
        let verdict = compared.as_deref().map(verdict);
        let open = compared.as_ref().map_or(0, |it| it.differences.iter().filter(|it| it.is_open()).count());
        Self {
            at,
            verdict: verdict.or(Some(Verdict { mood: Mood::Waiting, text: "Not known yet".into() })),
            open,
            paused: compared.is_some_and(|it| it.seen.report.paused),
            theme: theme(asked),
            who: asked.caller.name.clone(),
            done: asked.lenient_query().text("done").and_then(said),
            ..Self::bare(title)
        }
    }
}

fn theme(asked: &Asked) -> &'static str {
    let cookies = asked.headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|it| it.split(';')).filter_map(|it| it.trim().split_once('='));
    match pairs.find(|(name, _)| *name == THEME).map(|(_, value)| value) {
        Some("dark") => "dark",
        Some("light") => "light",
        _ => "auto",
    }
}

/// Says what was done. The text is ours: what stands in a link chooses among it.
fn said(text: &str) -> Option<Said> {
    let plain = |text: &str| Some(Said { text: text.to_owned(), undo: None });
    if let Some(revision) = text.strip_prefix("revision-").and_then(|number| number.parse::<i64>().ok()) {
        let undo = (revision > 1).then(|| format!("/history/{revision}/undo"));
        return Some(Said { text: format!("Written, and recorded as revision {revision}."), undo });
    }
    match text {
        "nothing" => plain("Nothing to change: it is so already."),
        "promoted" => plain("Written into the source. Both sides say the same now."),
        "accepted" => plain("Kept as the database has it, quietly, until either side moves."),
        "backup" => plain("A backup was taken."),
        "paused" => plain("Paused. Differences are still watched."),
        "resumed" => plain("Writes go on."),
        "withdrawn" => plain("Withdrawn: it counts as if it had never been decided."),
        _ => None,
    }
}

/// Says how the two sides stand, the gravest first.
pub(super) fn verdict(compared: &Compared) -> Verdict {
    let is = |mood, text: &str| Verdict { mood, text: text.to_owned() };
    if let Some(holder) = &compared.seen.report.waits_for {
        return is(Mood::Attention, &format!("Standing by for {holder}"));
    }
    match compared.seen.report.outcome {
        Outcome::Failed => return is(Mood::Bad, "The database cannot be used"),
        Outcome::SourceUnavailable => return is(Mood::Bad, "The source cannot be read"),
        Outcome::SourceClobbered => return is(Mood::Bad, "Another program rewrote the source"),
        Outcome::StoreMissing => return is(Mood::Bad, "The database is gone, and there are backups of it"),
        Outcome::Invalid => return is(Mood::Bad, "Not valid: nothing is written"),
        _ => {}
    }
    let count = |class| compared.differences.iter().filter(|it| it.is_open() && it.class == class).count();
    let counted = |count: usize, one: &str, many: &str| match count {
        1 => format!("1 {one}"),
        count => format!("{count} {many}"),
    };
    let (conflicts, unknown) = (count(Class::Conflict), count(Class::Unknown));
    let open = compared.differences.iter().filter(|it| it.is_open()).count();
    let text = match (unknown, conflicts, open) {
        (0, 0, 0) => return is(Mood::Good, "In sync"),
        (0, 0, open) => counted(open, "difference", "differences"),
        (0, conflicts, _) => counted(conflicts, "conflict waits for you", "conflicts wait for you"),
        (unknown, _, _) => counted(unknown, "value cannot be compared", "values cannot be compared"),
    };
    Verdict { mood: Mood::Attention, text }
}

/// A count with its noun: `1 service`, `2 services`.
pub(super) fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// A moment for people, in UTC; the script shows it in the reader's own time.
pub(super) struct Moment {
    pub(super) iso: String,
    pub(super) text: String,
}

impl Moment {
    pub(super) fn at(seconds: f64) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "seconds of a date fit")]
        let at = jiff::Timestamp::from_second(seconds as i64).unwrap_or_default();
        Self { iso: at.to_string(), text: at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string() }
    }
}

/// Why a pass could not do its work, for a page to say.
pub(super) struct Fault {
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

impl Fault {
    pub(super) fn of(seen: &Seen) -> Option<Self> {
        let failure = seen.report.failure.as_ref()?;
        Some(Self { message: failure.message.clone(), hint: failure.hint.clone() })
    }
}
