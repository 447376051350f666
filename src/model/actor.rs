//! Who is named as the author of a change: a person, or an agent, which is never taken for one.

/// How an agent's name begins.
const AGENT: &str = "agent@";

/// The longest name that is kept, in characters.
const MAX_NAME: usize = 100;

/// Returns the name of an agent in the history.
pub fn agent_name(host: &str) -> String {
    format!("{AGENT}{}", clean(host.strip_prefix(AGENT).unwrap_or(host)))
}

/// Returns a person's name as the history takes it: no control characters, not too long, and never an agent's.
pub fn person_name(name: &str) -> String {
    let name = clean(name);
    if is_agent(&name) { format!("person {name}") } else { name }
}

/// Whether a name is an agent's.
pub fn is_agent(name: &str) -> bool {
    name.starts_with(AGENT)
}

fn clean(name: &str) -> String {
    let name: String = name.trim().chars().filter(|c| !c.is_control()).take(MAX_NAME).collect();
    name.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_person_is_taken_for_an_agent() {
        assert!(is_agent(&agent_name("node-1")) && agent_name("agent@node-1") == "agent@node-1");
        for name in ["alice", "agent@node-1", " agent@node-1", "\u{7}agent@x", "\u{1} agent@x", "agent"] {
            assert!(!is_agent(&person_name(name)), "{name}");
        }
        assert_eq!(person_name("agent@x"), "person agent@x");
        assert_eq!(person_name(" alice\n"), "alice");
    }
}
