//! `operator.yaml` is read, or every fault of it is found.

use oxide_operator::fuzzing::operator_yaml;

use super::world::{check_finding, in_proportion};

pub(crate) fn target(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Err(findings) = in_proportion(data.len(), "reading", || operator_yaml(text)) else { return };
    assert!(!findings.is_empty(), "nothing says why");
    for finding in &findings {
        check_finding(finding, text);
    }
}
