//! A plan for people (aligned, coloured on request), as JSON and as Markdown. Secrets are masked in all three.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};

use super::{Class, LeftAlone, Plan, Reason, SchemaStep, Step};
use crate::model::{ConfigPath, Finding, Object, Section, Shown, Value, printable};

/// How many lines of one kind are printed before the rest is counted. JSON and Markdown have them all.
const MAX_LINES: usize = 200;

/// Longest value that is printed whole, in characters.
const MAX_VALUE: usize = 60;

/// Whether the text carries colour codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// Plain text.
    Off,
    /// ANSI codes.
    On,
}

impl Colour {
    fn paint(self, style: Style, text: &str) -> String {
        match self {
            _ if text.is_empty() => String::new(),
            Self::Off => text.to_owned(),
            Self::On => format!("{style}{text}{style:#}"),
        }
    }
}

/// One line of a plan, the same for all forms.
struct Line {
    sign: &'static str,
    path: String,
    change: String,
    class: &'static str,
    reason: String,
}

impl Plan {
    /// Returns the plan as people read it in a terminal.
    pub fn to_text(&self, colour: Colour) -> String {
        let mut text = String::new();
        for finding in &self.refused {
            let _ = writeln!(text, "{finding}");
        }
        if !self.refused.is_empty() {
            let _ = writeln!(text, "Nothing is written: the result would not be a valid configuration.\n");
        }
        let steps = self.step_lines();
        if !steps.is_empty() {
            let _ = writeln!(
                text,
                "{}",
                if self.refused.is_empty() { "To write:" } else { "Would have been written:" }
            );
            push_lines(&mut text, &steps, colour);
        }
        let (differences, others): (Vec<&LeftAlone>, Vec<&LeftAlone>) =
            self.left_alone.iter().partition(|left| left.is_difference());
        let (accepted, notes): (Vec<&LeftAlone>, Vec<&LeftAlone>) =
            others.into_iter().partition(|left| matches!(left.reason, Reason::Accepted { .. }));
        for (title, left) in
            [("Left alone:", differences), ("Accepted:", accepted), ("Only in the database:", notes)]
        {
            if !left.is_empty() {
                let _ = writeln!(text, "{}{title}", if text.is_empty() { "" } else { "\n" });
                push_lines(&mut text, &left.into_iter().map(left_line).collect::<Vec<_>>(), colour);
            }
        }
        if !text.is_empty() {
            text.push('\n');
        }
        let _ = writeln!(text, "{}", self.summary());
        text
    }

    /// Returns the steps as lines, without what a pass would say of them: for edits and comparisons of revisions.
    pub fn changes_text(&self, colour: Colour) -> String {
        let mut lines = self.step_lines();
        for line in &mut lines {
            line.class = "";
        }
        let mut text = String::new();
        push_lines(&mut text, &lines, colour);
        text
    }

    /// Returns each step as a line of its own, without why: `execution.max_retries 3 -> 4`.
    pub fn changes(&self) -> Vec<String> {
        let line = |line: Line| format!("{} {}", line.path, line.change);
        self.step_lines().into_iter().filter(|line| line.class != "schema").map(line).collect()
    }

    /// Returns one sentence.
    pub fn summary(&self) -> String {
        let quiet = [(self.accepted(), "accepted"), (self.ignored, "ignored")];
        let quiet: String = quiet
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!(", {count} {what}"))
            .collect();
        if self.is_in_sync() {
            return format!("In sync: {} values compared, nothing to write{quiet}.", self.in_sync);
        }
        let count = |op: &str| self.steps.iter().filter(|step| step.op() == op).count();
        let mut parts = Vec::new();
        for (op, past) in [("create", "to create"), ("update", "to change"), ("delete", "to delete")] {
            if count(op) > 0 {
                parts.push(format!("{} {past}", count(op)));
            }
        }
        for class in Class::ALL {
            let left =
                self.left_alone.iter().filter(|left| left.class == class && left.is_difference()).count();
            if left > 0 {
                parts.push(format!("{left} {} left alone", class.name()));
            }
        }
        if parts.is_empty() {
            parts.push("nothing to write".into());
        }
        format!("Plan: {}; {} values in sync{quiet}.", parts.join(", "), self.in_sync)
    }

    /// Returns the plan as Markdown, for a comment on a pull request.
    pub fn to_markdown(&self) -> String {
        let mut text = format!("**{}**\n", self.summary());
        for finding in &self.refused {
            let _ = write!(text, "\n```\n{finding}\n```\n");
        }
        let lines: Vec<Line> =
            self.step_lines().into_iter().chain(self.left_alone.iter().map(left_line)).collect();
        if !lines.is_empty() {
            text.push_str("\n| | path | change | class | reason |\n| --- | --- | --- | --- | --- |\n");
        }
        let cell = |text: &str| text.replace('|', "\\|").replace('\n', " ");
        for line in lines {
            let Line { sign, path, change, class, reason } = line;
            let _ = writeln!(text, "| `{sign}` | `{path}` | {} | {class} | {reason} |", cell(&change));
        }
        text
    }

    fn step_lines(&self) -> Vec<Line> {
        let mut lines: Vec<Line> = self.schema.iter().copied().map(schema_line).collect();
        for step in &self.steps {
            match step {
                Step::Create { section, id, object, class } => lines.push(Line {
                    sign: "+",
                    path: ConfigPath::object(*section, id).to_string(),
                    change: describe(*section, object),
                    class: class.name(),
                    reason: String::new(),
                }),
                Step::Update { section, id, changes } => {
                    lines.extend(changes.iter().map(|change| Line {
                        sign: "~",
                        path: ConfigPath::field(*section, id, change.field).to_string(),
                        change: arrow(&change.old, &change.new),
                        class: change.class.name(),
                        reason: String::new(),
                    }));
                }
                Step::Delete { section, id } => lines.push(Line {
                    sign: "-",
                    path: ConfigPath::object(*section, id).to_string(),
                    change: "delete".into(),
                    class: Class::Pending.name(),
                    reason: String::new(),
                }),
            }
        }
        lines
    }
}

impl LeftAlone {
    /// Returns what each side says: `database 8, source 4`.
    pub fn sides(&self) -> String {
        left_line(self).change
    }
}

fn schema_line(step: SchemaStep) -> Line {
    let (path, change) = match step {
        SchemaStep::CreateTables => ("database".to_owned(), "create the orchestrator's tables".to_owned()),
        SchemaStep::AddColumn { section, field } => {
            (section.table().to_owned(), format!("add column {}", section.spec(field).column))
        }
    };
    Line { sign: "+", path, change, class: "schema", reason: String::new() }
}

fn left_line(left: &LeftAlone) -> Line {
    let side =
        |name: &str, shown: &Option<Shown>| shown.as_ref().map(|shown| format!("{name} {}", short(shown)));
    let sides: Vec<String> =
        [side("database", &left.live), side("source", &left.desired)].into_iter().flatten().collect();
    Line {
        sign: if left.is_difference() { "!" } else { "·" },
        path: left.path.to_string(),
        change: sides.join(", "),
        class: left.class.name(),
        reason: printable(&left.reason.to_string()).into_owned(),
    }
}

fn describe(section: Section, object: &Object) -> String {
    let shown = |name: &str| {
        let value = object.get(section.field(name)?).filter(|value| **value != Value::Unset)?;
        Some(format!("{name} {}", short(&value.shown())))
    };
    let parts: Vec<String> =
        ["type", "executable", "base_url", "primary", "fallback"].into_iter().filter_map(shown).collect();
    format!("create{}{}", if parts.is_empty() { "" } else { ": " }, parts.join(", "))
}

fn arrow(old: &Value, new: &Value) -> String {
    match (old, new) {
        (Value::Secret(_), Value::Secret(_)) => "•••• (changed)".into(),
        (_, Value::Secret(_)) => "unset -> •••• (set)".into(),
        (Value::Secret(_), _) => "•••• -> unset (removed)".into(),
        (old, new) => format!("{} -> {}", short(&old.shown()), short(&new.shown())),
    }
}

fn short(shown: &Shown) -> String {
    let text = shown.to_string().replace(['\n', '\r'], "⏎");
    if text.chars().count() <= MAX_VALUE {
        return text;
    }
    text.chars().take(MAX_VALUE - 1).chain(['…']).collect()
}

fn push_lines(text: &mut String, lines: &[Line], colour: Colour) {
    let width =
        |part: fn(&Line) -> &str| lines.iter().map(|line| part(line).chars().count()).max().unwrap_or(0);
    let (path_width, change_width, class_width) =
        (width(|line| &line.path).min(60), width(|line| &line.change).min(70), width(|line| line.class));
    for line in lines.iter().take(MAX_LINES) {
        let style = sign_style(line.sign);
        let row = format!(
            "  {} {:path_width$}  {:change_width$}  {}  {}",
            colour.paint(style, line.sign),
            line.path,
            line.change,
            colour.paint(style, &format!("{:class_width$}", line.class)),
            line.reason,
        );
        text.push_str(row.trim_end());
        text.push('\n');
    }
    if lines.len() > MAX_LINES {
        let _ = writeln!(text, "  … and {} more (-o json has them all)", lines.len() - MAX_LINES);
    }
}

fn sign_style(sign: &str) -> Style {
    let colour = match sign {
        "+" => AnsiColor::Green,
        "-" => AnsiColor::Red,
        "~" => AnsiColor::Yellow,
        "!" => AnsiColor::Magenta,
        _ => return Style::new().dimmed(),
    };
    Style::new().fg_color(Some(colour.into()))
}

/// Prints findings one under the other.
pub fn findings_text(findings: &[Finding]) -> String {
    findings.iter().map(|finding| format!("{finding}\n")).collect()
}
