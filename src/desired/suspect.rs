//! Texts that are probably not meant as they stand: sealed ones, references of other tools, addresses without a scheme.

use super::scalar::closest;
use crate::model::Finding;

/// Returns the finding for a value that is sealed by another tool: as it stands it is of no use to anybody.
pub(super) fn sealed(text: &str) -> Option<Finding> {
    let text = text.trim();
    let (what, help) = if text.starts_with("ENC[PKCS7,") || text.starts_with("ENC[GPG,") {
        ("eyaml", "decrypt it first")
    } else if text.starts_with("ENC[") && text.ends_with(']') {
        ("SOPS", "decrypt the file first: `sops --decrypt`")
    } else if text.starts_with("$ANSIBLE_VAULT;") {
        ("Ansible Vault", "decrypt it first: `ansible-vault decrypt`")
    } else if text.starts_with("ENC(") && text.ends_with(')') {
        ("Jasypt", "decrypt it first")
    } else if text.starts_with("{cipher}") {
        ("Spring Cloud Config", "decrypt it first")
    } else if text
        .strip_prefix("vault:v")
        .is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
    {
        ("the transit engine of Vault", "decrypt it first")
    } else if text.starts_with("-----BEGIN PGP MESSAGE") {
        ("PGP", "decrypt it first")
    } else if text.starts_with("-----BEGIN AGE ENCRYPTED") {
        ("age", "decrypt it first")
    } else if text.len() > 100 && text.starts_with("AQICAH") {
        ("AWS KMS", "decrypt it first")
    } else if text.len() > 200 && (text.starts_with("AgA") || text.starts_with("AgB")) && is_base64(text) {
        ("Sealed Secrets", "name the Secret that it becomes: `apiKeyFrom: {secretKeyRef: {name: …, key: …}}`")
    } else if text.len() >= 100 && text.starts_with("gAAAAA") && is_base64(text) {
        let finding = Finding::error("the value is a token: it is encrypted with an encryption key");
        return Some(finding.suggest("write it as `apiKeyFrom: {token: …}`"));
    } else {
        return None;
    };
    let help = format!("{help}; or leave the key out of the file: `api_key: ${{NAME}}`");
    Some(
        Finding::error(format!("the value is encrypted with {what}, and nothing here decrypts it"))
            .suggest(help),
    )
}

fn is_base64(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/-_=".contains(&byte))
}

/// How another tool writes a value that it takes from elsewhere.
struct Form {
    begins: &'static str,
    ends: &'static str,
    /// As it is named in a message.
    shown: &'static str,
    whose: &'static str,
}

const fn form(begins: &'static str, ends: &'static str, shown: &'static str, whose: &'static str) -> Form {
    Form { begins, ends, shown, whose }
}

/// Forms that no ordinary value has, in any field.
const TEMPLATES: [Form; 12] = [
    form("os.environ/", "", "os.environ/NAME", "LiteLLM"),
    form("{{", "}}", "{{ … }}", "a template (Helm, Jinja, GitHub Actions)"),
    form("${{", "}}", "${{ … }}", "a template (GitHub Actions, decK)"),
    form("<%", "%>", "<% … %>", "a template (ERB)"),
    form("%(", ")s", "%(NAME)s", "Python's configparser"),
    form("${", "}", "${…}", "a shell"),
    form("$(", ")", "$(…)", "a shell"),
    form("op://", "", "op://…", "1Password"),
    form("ref+", "", "ref+…", "vals"),
    form("vault:", "", "vault:…", "Vault"),
    form("process.env.", "", "process.env.NAME", "Node"),
    form("arn:aws:", "", "arn:aws:…", "AWS"),
];

/// Forms that only an API key would have.
const KEY_FORMS: [Form; 22] = [
    form("env:", "", "env:NAME", "another tool"),
    form("env/", "", "env/NAME", "another tool"),
    form("env.", "", "env.NAME", "another tool"),
    form("ENV[", "]", "ENV[…]", "another tool"),
    form("env(", ")", "env(…)", "another tool"),
    form("%", "%", "%NAME%", "Windows"),
    form("`", "`", "`…`", "a shell"),
    form("!", "", "!…", "another tool"),
    form("@", "", "@FILE", "curl"),
    form("file:", "", "file:PATH", "another tool"),
    form("secret:", "", "secret:…", "another tool"),
    form("secret://", "", "secret://…", "another tool"),
    form("secretref:", "", "secretref:…", "Azure Container Apps"),
    form("ssm:", "", "ssm:…", "AWS"),
    form("aws-", "", "aws-…:", "AWS"),
    form("awssm://", "", "awssm://…", "AWS"),
    form("gcpsm://", "", "gcpsm://…", "Google Cloud"),
    form("sm://", "", "sm://…", "Google Cloud"),
    form("projects/", "", "projects/…", "Google Cloud"),
    form("akv://", "", "akv://…", "Azure"),
    form("keyring:", "", "keyring:…", "another tool"),
    form("doppler://", "", "doppler://…", "Doppler"),
];

/// Returns the warning for an API key that is probably a reference or a placeholder. It never holds the text.
pub(super) fn api_key(text: &str) -> Option<Finding> {
    let text = text.trim();
    if let Some(form) = form_of(text, TEMPLATES.iter().chain(&KEY_FORMS)) {
        return Some(reference(form, text, "the key"));
    }
    is_placeholder(text).then(|| {
        Finding::warning(
            "this looks like a placeholder (as `YOUR_KEY_HERE`), and it is taken for the key itself",
        )
        .suggest(
            "write `${NAME}` for an environment variable, or remove the line if the service needs no key",
        )
    })
}

/// Returns the warning for another text that is probably a reference.
pub(super) fn text(field: &str, text: &str) -> Option<Finding> {
    let text = text.trim();
    if let Some(form) = form_of(text, TEMPLATES.iter()) {
        return Some(reference(form, text, "the value"));
    }
    (field == "base_url").then(|| address(text)).flatten()
}

fn reference(form: &Form, text: &str, what: &str) -> Finding {
    let message =
        format!("`{}` is how {} refers to a value; here it is {what} itself", form.shown, form.whose);
    let inner = text.trim_start_matches(form.begins).trim_end_matches(form.ends).trim();
    let name = inner.rsplit(['.', '/', ':']).next().unwrap_or_default();
    let is_name = name.len() >= 2
        && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_' || byte.is_ascii_digit());
    let help = match what {
        "the key" if is_name && name.starts_with(|first: char| first.is_ascii_uppercase()) => {
            format!("write `${{{name}}}`, or `apiKeyFrom:` with `env`, `file` or `secretKeyRef`")
        }
        "the key" => "write `${NAME}`, or `apiKeyFrom:` with `env`, `file` or `secretKeyRef`".to_owned(),
        _ => "write the value itself: only `api_key` may be `${NAME}`".to_owned(),
    };
    Finding::warning(message).suggest(help)
}

fn form_of<'f>(text: &str, mut forms: impl Iterator<Item = &'f Form>) -> Option<&'f Form> {
    const SHELL: Form = form("$", "", "$NAME", "a shell");
    let is_name = |name: &str| {
        name.len() >= 2
            && name.starts_with(|first: char| first.is_ascii_uppercase() || first == '_')
            && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_' || byte.is_ascii_digit())
    };
    if text.strip_prefix('$').is_some_and(is_name) {
        return Some(&SHELL);
    }
    // What has an end may stand within a text; the rest is the whole of it.
    forms.find(|form| match form.ends {
        "" => text.starts_with(form.begins) && text.len() > form.begins.len(),
        ends if form.begins.len() > 1 => {
            text.find(form.begins).is_some_and(|at| text[at + form.begins.len()..].contains(ends))
        }
        ends => {
            let inner = text.strip_prefix(form.begins).and_then(|rest| rest.strip_suffix(ends));
            inner.is_some_and(|inner| !inner.is_empty())
        }
    })
}

fn is_placeholder(text: &str) -> bool {
    const WORDS: [&str; 12] = [
        "changeme",
        "change_me",
        "replaceme",
        "replace_me",
        "replace_with",
        "placeholder",
        "redacted",
        "key_here",
        "keyhere",
        "token_here",
        "insert_",
        "todo",
    ];
    let lower = text.to_lowercase().replace(['-', ' ', '.'], "_");
    let mut chars = text.chars();
    let first = chars.next().unwrap_or_default();
    let one_character = text.chars().count() >= 3 && chars.all(|char| char == first);
    one_character
        || (text.starts_with('<') && text.ends_with('>'))
        || text.ends_with("...")
        || text.contains(['…', '•'])
        || lower.contains("xxxx")
        || WORDS.iter().any(|word| lower.contains(word))
        || (lower.contains("your")
            && (lower.contains("key") || lower.contains("token") || lower.contains("secret")))
}

/// Returns the warning for an address that no HTTP client can use.
fn address(text: &str) -> Option<Finding> {
    let suggest = |finding: Finding, meant: String| {
        // An address may hold a password.
        if text.contains('@') { finding } else { finding.suggest(format!("did you mean `{meant}`?")) }
    };
    let scheme = text.split_once("://").map(|(scheme, rest)| (scheme.to_lowercase(), rest));
    match scheme {
        _ if text.is_empty() => None,
        Some((scheme, rest)) if matches!(&*scheme, "http" | "https") => rest
            .is_empty()
            .then(|| Finding::warning("the address names no host").suggest("write `http://HOST:PORT`")),
        Some((scheme, rest)) => {
            let finding = Finding::warning(format!(
                "an address begins with `http://` or `https://`, not `{scheme}://`"
            ));
            let meant = closest(&scheme, &["http", "https"]).map(|near| near.contains("https"));
            let meant = if meant == Some(true) { "https" } else { "http" };
            Some(suggest(finding, format!("{meant}://{rest}")))
        }
        None => {
            let finding = Finding::warning("the address has no scheme: `http://` or `https://`");
            let host = ["http:/", "https:/", "http:", "https:", "//"]
                .iter()
                .find_map(|begin| text.strip_prefix(begin))
                .unwrap_or(text);
            let is_near = host.starts_with("localhost")
                || !host.contains('.')
                || host.starts_with(|first: char| first.is_ascii_digit());
            let meant = if text.starts_with("https") || !is_near { "https" } else { "http" };
            Some(suggest(finding, format!("{meant}://{host}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_value_is_recognised_whoever_sealed_it() {
        let token = format!("gAAAAA{}", "Ab1_".repeat(30));
        for text in [
            "ENC[AES256_GCM,data:eA==,iv:eA==,tag:eA==,type:str]",
            "ENC[PKCS7,MIIBeQ==]",
            "$ANSIBLE_VAULT;1.1;AES256\n6162",
            "vault:v1:abcd",
            "{cipher}abcd",
            "-----BEGIN AGE ENCRYPTED FILE-----\nabc",
            &token,
        ] {
            let finding = sealed(text).unwrap_or_else(|| panic!("{text}"));
            assert!(!finding.to_string().contains("eA=="), "{finding}");
        }
        for text in ["sk-or-v1-not-a-real-key-0000", "ENC", "vault", "gAAAAA", "AgA"] {
            assert!(sealed(text).is_none(), "{text}");
        }
    }

    #[test]
    fn a_reference_of_another_tool_is_named_and_a_key_is_not() {
        for (text, shown) in [
            ("os.environ/OPENAI_API_KEY", "os.environ/NAME"),
            ("$OPENAI_API_KEY", "$NAME"),
            ("{{ env.OPENAI_API_KEY }}", "{{ … }}"),
            ("${{ secrets.KEY }}", "… }}"),
            ("%(OPENAI_API_KEY)s", "%(NAME)s"),
            ("%OPENAI_API_KEY%", "%NAME%"),
            ("vault:secret/data/openai#key", "vault:…"),
            ("op://vault/openai/key", "op://…"),
            ("$(pass show openai)", "$(…)"),
            ("env:OPENAI_API_KEY", "env:NAME"),
            ("YOUR_KEY_HERE", "placeholder"),
            ("<your-api-key>", "placeholder"),
            ("sk-...", "placeholder"),
            ("xxxxxxxx", "placeholder"),
        ] {
            let finding = api_key(text).unwrap_or_else(|| panic!("{text}"));
            assert!(finding.message.contains(shown), "{text}: {finding}");
        }
        let finding = api_key("os.environ/OPENAI_API_KEY").expect("a reference").suggestion;
        assert!(finding.is_some_and(|help| help.contains("${OPENAI_API_KEY}")));
        for text in
            ["sk-or-v1-not-a-real-key-0000", "Pa$$w0rd$x", "$ecret", "lm-studio", "not-needed", "AIzaSyD-x_1"]
        {
            assert_eq!(api_key(text), None, "{text}");
        }
    }

    #[test]
    fn an_address_that_no_client_can_use_is_named() {
        for (address, meant) in [
            ("localhost:11434", "http://localhost:11434"),
            ("htp://x/v1", "http://x/v1"),
            ("htps://x", "https://x"),
            ("api.openai.com/v1", "https://api.openai.com/v1"),
            ("http:/x", "http://x"),
        ] {
            let finding = text("base_url", address).unwrap_or_else(|| panic!("{address}"));
            assert_eq!(finding.suggestion, Some(format!("did you mean `{meant}`?")));
        }
        assert!(text("base_url", "${OLLAMA_URL}").is_some_and(|finding| finding.message.contains("itself")));
        for address in [
            "http://localhost:11434",
            "HTTPS://x",
            "https://r.openai.azure.com/openai?api-version=2024-02-01",
        ] {
            assert_eq!(text("base_url", address), None, "{address}");
        }
        assert_eq!(text("default_model", "qwen2.5-coder:7b"), None);
    }
}
