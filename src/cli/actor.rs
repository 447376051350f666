//! Who is recorded in the history as the author of a change.

use crate::model::{agent_name, person_name};

/// Where the names of accounts stand by number.
const ACCOUNTS: &str = "/etc/passwd";

/// Returns the person who runs a command: as they said, else whoever became root by sudo, else the account's name.
pub(super) fn person(named: Option<&str>) -> String {
    let variable = |name: &str| std::env::var(name).ok();
    let accounts = || std::fs::read_to_string(ACCOUNTS).unwrap_or_default();
    who(named, variable, rustix::process::geteuid().as_raw(), accounts)
}

/// Returns the name of an agent: as somebody said, else the host's. No person has such a name.
pub(super) fn agent(named: Option<&str>) -> String {
    let host = || rustix::system::uname().nodename().to_string_lossy().into_owned();
    agent_name(&named.map_or_else(host, str::to_owned))
}

fn who(
    named: Option<&str>,
    variable: impl Fn(&str) -> Option<String>,
    uid: u32,
    accounts: impl FnOnce() -> String,
) -> String {
    let by_root: &[&str] = if uid == 0 { &["SUDO_USER", "DOAS_USER"] } else { &[] };
    let said = named.map(str::to_owned).into_iter();
    let known = by_root.iter().chain(&["USER", "LOGNAME"]).filter_map(|name| variable(name));
    let mut found = said.chain(known).map(|name| person_name(&name)).filter(|name| !name.is_empty());
    found.next().or_else(|| account(uid, &accounts())).unwrap_or_else(|| format!("uid {uid}"))
}

/// Lines read `name:password:uid:gid:…`. Source: `passwd(5)`.
fn account(uid: u32, accounts: &str) -> Option<String> {
    accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, number) = (fields.next()?, fields.nth(1)?);
        (number.parse() == Ok(uid) && !name.is_empty()).then(|| person_name(name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by(named: Option<&str>, variables: &[(&str, &str)], uid: u32) -> String {
        let variable =
            |name: &str| variables.iter().find(|(it, _)| *it == name).map(|(_, value)| (*value).to_owned());
        who(named, variable, uid, || "root:x:0:0:root:/root:/bin/sh\nbob:x:1000:1000::/home/bob:\n".into())
    }

    #[test]
    fn the_author_is_whoever_is_known_best() {
        let on_a_terminal = [("USER", "bob"), ("LOGNAME", "bob")];
        assert_eq!(by(Some("deploy"), &on_a_terminal, 1000), "deploy");
        assert_eq!(by(None, &on_a_terminal, 1000), "bob");
        // sudo; and a variable that anybody may set means nothing without it.
        assert_eq!(by(None, &[("USER", "root"), ("SUDO_USER", "bob")], 0), "bob");
        assert_eq!(by(None, &[("USER", "eve"), ("SUDO_USER", "bob")], 1001), "eve");
        // cron says LOGNAME; systemd, a container and kubectl exec say nothing.
        assert_eq!(by(None, &[("LOGNAME", "bob")], 1000), "bob");
        assert_eq!(by(None, &[("USER", "")], 0), "root");
        assert_eq!(by(None, &[], 1000), "bob");
        assert_eq!(by(None, &[], 65_532), "uid 65532");
    }

    #[test]
    fn a_person_called_like_an_agent_is_not_one() {
        assert_eq!(by(None, &[("USER", "agent@node-1")], 1000), "person agent@node-1");
        assert_eq!(agent(Some("node-1")), "agent@node-1");
    }
}
