//! Patterns of paths: `services.*.enabled`, `services.lm*`, `execution.timeout_seconds`, `routing_rules`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{ConfigPath, Section};

/// A pattern of paths. `*` stands for any text within a part and `?` for one character. The last part is a field when
/// it is the name of one, or a pattern that some field's name fits.
///
/// ```
/// use oxide_operator::model::PathPattern;
///
/// let pattern: PathPattern = "services.*.max_*".parse().expect("a pattern");
/// assert_eq!(pattern.to_string(), "services.*.max_*");
/// assert!("services.a.colour".parse::<PathPattern>().is_ok(), "an id with a dot");
/// assert!("servces.*".parse::<PathPattern>().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern {
    text: String,
    section: Section,
    id: Option<Glob>,
    field: Option<Glob>,
}

/// How narrow a pattern is: by field before by object, exact before by wildcard, more letters before fewer.
pub type Specificity = (u8, u8, usize, usize);

impl PathPattern {
    /// Returns the pattern of exactly one path.
    pub fn exactly(path: &ConfigPath) -> Self {
        Self {
            text: path.to_string(),
            section: path.section,
            id: Some(Glob::literal(&path.id)),
            field: path.field.map(|field| Glob::literal(path.section.spec(field).name)),
        }
    }

    /// The section that it lies in.
    pub const fn section(&self) -> Section {
        self.section
    }

    /// Whether a path, or the object that it lies in, fits.
    pub fn covers(&self, path: &ConfigPath) -> bool {
        self.covers_object(path.section, &path.id)
            && match (&self.field, path.field) {
                (None, _) => true,
                (Some(_), None) => false,
                (Some(glob), Some(field)) => glob.fits(path.section.spec(field).name),
            }
    }

    /// Whether an object fits, whatever the field.
    pub fn covers_object(&self, section: Section, id: &str) -> bool {
        self.section == section && self.id.as_ref().is_none_or(|glob| glob.fits(id))
    }

    /// Returns how narrow it is; of two that fit, the greater counts.
    pub fn specificity(&self) -> Specificity {
        let rank = |glob: &Option<Glob>| glob.as_ref().map_or((0, 0), Glob::rank);
        let ((field, field_letters), (id, id_letters)) = (rank(&self.field), rank(&self.id));
        (field, id, id_letters, field_letters)
    }

    /// Whether some path fits both.
    pub fn overlaps(&self, other: &Self) -> bool {
        let meet = |one: &Option<Glob>, two: &Option<Glob>| match (one, two) {
            (Some(one), Some(two)) => one.meets(two),
            _ => true,
        };
        self.section == other.section && meet(&self.id, &other.id) && meet(&self.field, &other.field)
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for PathPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (section, rest) = super::path::section_and_rest(text)?;
        let of = |id, field| Ok(Self { text: text.to_owned(), section, id, field });
        let Some(rest) = rest else { return of(None, None) };
        if rest.is_empty() {
            return Err(format!("`{text}` names no {}", section.noun()));
        }
        let fields = |glob: &Glob| section.fields().iter().any(|spec| glob.fits(spec.name));
        if section == Section::Execution {
            let glob = Glob::of(rest);
            return if fields(&glob) {
                of(None, Some(glob))
            } else {
                Err(format!("`{rest}` is not a field of {}: {}", section.noun(), section.field_names()))
            };
        }
        if rest.starts_with('"') {
            let (id, rest) = super::path::quoted_id(rest)?;
            let field = super::path::field_behind(rest)?.map(Glob::of);
            return match field {
                Some(glob) if !fields(&glob) => {
                    Err(format!("`{rest}` is not a field of {}: {}", section.noun(), section.field_names()))
                }
                field => of(Some(Glob::literal(&id)), field),
            };
        }
        if let Some((id, name)) = rest.rsplit_once('.') {
            let glob = Glob::of(name);
            if fields(&glob) {
                return of(Some(Glob::of(id)), Some(glob));
            }
            if let Some(meant) = near_field(section, name) {
                let noun = section.noun();
                return Err(format!(
                    "`{name}` is no field of a {noun}; did you mean `{meant}`? (an id with a dot in it is quoted)"
                ));
            }
        }
        of(Some(Glob::of(rest)), None)
    }
}

impl Serialize for PathPattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for PathPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The field that the last part of a pattern is a misspelling of.
fn near_field(section: Section, name: &str) -> Option<&'static str> {
    const MOST_SLIPS: usize = 2;
    let near = |spec: &&super::FieldSpec| {
        let distance = strsim::osa_distance(name, spec.name);
        distance <= MOST_SLIPS && distance < spec.name.len() / 2
    };
    section.fields().iter().find(near).map(|spec| spec.name)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Char(char),
    One,
    Many,
}

/// A text with wildcards.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Glob(Vec<Part>);

impl Glob {
    fn of(text: &str) -> Self {
        let part = |char| match char {
            '*' => Part::Many,
            '?' => Part::One,
            char => Part::Char(char),
        };
        Self(text.chars().map(part).collect())
    }

    fn literal(text: &str) -> Self {
        Self(text.chars().map(Part::Char).collect())
    }

    fn fits(&self, text: &str) -> bool {
        self.meets(&Self::literal(text))
    }

    /// Whether some text fits both: by the places that can be reached in the one for each place of the other.
    fn meets(&self, other: &Self) -> bool {
        let (one, two) = (&self.0, &other.0);
        let mut reach = vec![vec![false; two.len() + 1]; one.len() + 1];
        reach[0][0] = true;
        for row in 0..=one.len() {
            for column in 0..=two.len() {
                if !reach[row][column] {
                    continue;
                }
                let (left, right) = (one.get(row), two.get(column));
                if left == Some(&Part::Many) {
                    reach[row + 1][column] = true;
                }
                if right == Some(&Part::Many) {
                    reach[row][column + 1] = true;
                }
                if let (Some(left), Some(right)) = (left, right) {
                    let same = match (left, right) {
                        (Part::Char(left), Part::Char(right)) => left == right,
                        _ => true,
                    };
                    let down = row + usize::from(*left != Part::Many);
                    let along = column + usize::from(*right != Part::Many);
                    reach[down][along] |= same;
                }
            }
        }
        reach[one.len()][two.len()]
    }

    /// 2 for an exact text, 1 with wildcards, and how many letters it has.
    fn rank(&self) -> (u8, usize) {
        let letters = self.0.iter().filter(|part| matches!(part, Part::Char(_))).count();
        (if letters == self.0.len() { 2 } else { 1 }, letters)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> PathPattern {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn path(id: &str, field: &str) -> ConfigPath {
        ConfigPath::field(Section::Services, id, Section::Services.field(field).expect("known"))
    }

    #[test]
    fn a_pattern_covers_what_it_says() {
        for (text, id, field, covers) in [
            ("services", "a", "enabled", true),
            ("services.*", "a", "enabled", true),
            ("services.*.enabled", "a.b", "enabled", true),
            ("services.*.enabled", "a", "models", false),
            ("services.lm*", "lmstudio", "models", true),
            ("services.lm*.m?dels", "lmstudio", "models", true),
            ("services.gpt-4.1", "gpt-4.1", "models", true),
            ("services.\"a.enabled\"", "a.enabled", "models", true),
            ("services.\"a*\"", "ab", "models", false),
            ("routing_rules", "a", "models", false),
        ] {
            assert_eq!(pattern(text).covers(&path(id, field)), covers, "{text} {id} {field}");
        }
    }

    #[test]
    fn the_narrower_pattern_is_more_specific() {
        let order = [
            "services",
            "services.*",
            "services.l*",
            "services.lmstudio",
            "services.*.max_*",
            "services.*.enabled",
            "services.l*.enabled",
            "services.lmstudio.enabled",
        ];
        for pair in order.windows(2) {
            assert!(pattern(pair[0]).specificity() < pattern(pair[1]).specificity(), "{pair:?}");
        }
    }

    #[test]
    fn patterns_overlap_when_a_path_fits_both() {
        for (one, two, overlap) in [
            ("services.a*", "services.*b", true),
            ("services.a*", "services.b*", false),
            ("services.*.max_*", "services.*.*_retries", true),
            ("services.*.max_*", "services.*.enabled", false),
            ("services.a?", "services.a", false),
            ("services", "services.a.enabled", true),
            ("services.*", "routing_rules.*", false),
        ] {
            assert_eq!(pattern(one).overlaps(&pattern(two)), overlap, "{one} {two}");
            assert_eq!(pattern(two).overlaps(&pattern(one)), overlap, "{two} {one}");
        }
    }

    #[test]
    fn a_misspelt_field_is_refused_with_what_was_meant_and_an_id_with_a_dot_is_not() {
        for (text, meant) in [
            ("services.*.enbaled", "enabled"),
            ("services.a.modles", "models"),
            ("rules.x.primry", "primary"),
        ] {
            let error = text.parse::<PathPattern>().expect_err("misspelt");
            assert!(error.contains(&format!("did you mean `{meant}`")), "{text}: {error}");
        }
        for text in ["services.gpt-4.1", "services.a.b", "services.\"a.enbaled\"", "services.x.colour"] {
            assert!(text.parse::<PathPattern>().is_ok(), "{text}");
        }
    }
}
