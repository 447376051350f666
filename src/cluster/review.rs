//! Whose a bearer token is, and what they may do with a store: asked of the API server, so that accounts of the cluster
//! are accounts of the page.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus, UserInfo};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::api::{Api, PostParams};
use kube::{Client, Error};
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;

use super::{chain, client, within};
use crate::crd::GROUP;
use crate::settings::TOKEN_AUDIENCE;

/// How long an answer counts: whoever loses a right loses it here within this time.
const REMEMBERED_FOR: Duration = Duration::from_mins(1);

/// At most this many answers are remembered. A flood of wrong tokens neither fills the memory nor displaces the others.
const MAX_REMEMBERED: usize = 256;

/// How long an answer of the API server may take while somebody waits for a page.
const ANSWERED_WITHIN: Duration = Duration::from_secs(5);

/// So many tokens are asked about at once; others wait for their turn.
const AT_ONCE: usize = 8;

/// How long a wrong token keeps its turn. With [`AT_ONCE`] it bounds how often strangers make us ask, 160 times a second,
/// and slows down nobody whose token is right by more than that.
const WRONG_KEEPS_ITS_TURN: Duration = Duration::from_millis(50);

/// How long one waits for a turn.
const TURN_WITHIN: Duration = Duration::from_secs(10);

/// Somebody whom the API server knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reviewed {
    /// The name, as `system:serviceaccount:NAMESPACE:NAME`.
    pub name: String,
    /// Whether they may change the store: `update` on its `OxideStore`; `get` is the right to look.
    pub may_write: bool,
}

/// What was answered about a token, and when; none where nobody is let in.
#[derive(Clone, Debug)]
struct Answer {
    since: Instant,
    who: Option<Reviewed>,
}

/// Asks the API server about bearer tokens.
#[derive(Debug)]
pub struct Reviewer {
    namespace: String,
    /// The `OxideStore` on which rights are looked up.
    store: String,
    remembered: Mutex<Answers>,
    turns: Semaphore,
}

/// What was answered lately, by the hash of the token.
#[derive(Debug, Default)]
struct Answers(BTreeMap<[u8; 32], Answer>);

impl Reviewer {
    /// Rights are those on an `OxideStore`.
    pub fn new(namespace: String, store: String) -> Self {
        Self { namespace, store, remembered: Mutex::default(), turns: Semaphore::new(AT_ONCE) }
    }

    /// Returns who a token is of; none for a token that nobody knows, that is meant for somebody else, or of somebody who
    /// may not look. What is remembered is answered at once, however many others ask.
    ///
    /// # Errors
    /// Why the API server could not be asked.
    pub async fn review(&self, token: &str) -> Result<Option<Reviewed>, String> {
        let hash: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        if let Some(known) = self.answers().lately(&hash) {
            return Ok(known.who);
        }
        let busy = || "more tokens are asked about than are answered; try again".to_owned();
        let turn = tokio::time::timeout(TURN_WITHIN, self.turns.acquire()).await;
        let _turn = turn.map_err(|_| busy())?.map_err(|_| busy())?;
        if let Some(known) = self.answers().lately(&hash) {
            return Ok(known.who);
        }
        let who = self.ask(token).await.map_err(|error| chain(&error))?;
        self.answers().remember(hash, Answer { since: Instant::now(), who: who.clone() });
        if who.is_none() {
            tokio::time::sleep(WRONG_KEEPS_ITS_TURN).await;
        }
        Ok(who)
    }

    fn answers(&self) -> MutexGuard<'_, Answers> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ask(&self, token: &str) -> Result<Option<Reviewed>, Error> {
        let client = client().await?;
        let reviews: Api<TokenReview> = Api::all(client.clone());
        let audiences = Some(vec![TOKEN_AUDIENCE.to_owned()]);
        let spec = TokenReviewSpec { token: token.to_owned(), audiences };
        let review = TokenReview { spec, ..TokenReview::default() };
        let how = PostParams::default();
        let answer = within(ANSWERED_WITHIN, reviews.create(&how, &review)).await?;
        let user = answer.status.filter(is_for_us).and_then(|status| status.user);
        let Some(user) = user else { return Ok(None) };
        if !self.may(&client, &user, "get").await? {
            return Ok(None);
        }
        let may_write = self.may(&client, &user, "update").await?;
        Ok(Some(Reviewed { name: user.username.unwrap_or_default(), may_write }))
    }

    async fn may(&self, client: &Client, user: &UserInfo, verb: &str) -> Result<bool, Error> {
        let attributes = ResourceAttributes {
            group: Some(GROUP.to_owned()),
            resource: Some("oxidestores".to_owned()),
            namespace: Some(self.namespace.clone()),
            name: Some(self.store.clone()),
            verb: Some(verb.to_owned()),
            ..ResourceAttributes::default()
        };
        let spec = SubjectAccessReviewSpec {
            user: user.username.clone(),
            groups: user.groups.clone(),
            extra: user.extra.clone(),
            uid: user.uid.clone(),
            resource_attributes: Some(attributes),
            ..SubjectAccessReviewSpec::default()
        };
        let reviews: Api<SubjectAccessReview> = Api::all(client.clone());
        let (how, review) =
            (PostParams::default(), SubjectAccessReview { spec, ..SubjectAccessReview::default() });
        let answer = within(ANSWERED_WITHIN, reviews.create(&how, &review)).await?;
        Ok(answer.status.is_some_and(|status| status.allowed))
    }
}

impl Answers {
    /// What was answered lately, if anything was.
    fn lately(&mut self, hash: &[u8; 32]) -> Option<Answer> {
        self.0.retain(|_, answer| answer.since.elapsed() < REMEMBERED_FOR);
        self.0.get(hash).cloned()
    }

    /// Makes room by what is missed least: the oldest of the wrong tokens, then the oldest.
    fn remember(&mut self, hash: [u8; 32], answer: Answer) {
        if self.0.len() >= MAX_REMEMBERED {
            let least = self.0.iter().min_by_key(|(_, answer)| (answer.who.is_some(), answer.since));
            if let Some(least) = least.map(|(hash, _)| *hash) {
                self.0.remove(&least);
            }
        }
        self.0.insert(hash, answer);
    }
}

/// Whether a token is good, and meant for us. An API server that does not know of audiences names none, and says that a
/// token for itself is good. Source: <https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/token-review-v1/>.
fn is_for_us(status: &TokenReviewStatus) -> bool {
    let ours = |audiences: &Vec<String>| audiences.iter().any(|audience| audience == TOKEN_AUDIENCE);
    status.authenticated == Some(true) && status.audiences.as_ref().is_some_and(ours)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_for_somebody_else_is_not_for_us() {
        let status = |authenticated, audiences: Option<&[&str]>| TokenReviewStatus {
            authenticated: Some(authenticated),
            audiences: audiences.map(|all| all.iter().map(|&it| it.to_owned()).collect()),
            ..TokenReviewStatus::default()
        };
        assert!(is_for_us(&status(true, Some(&[TOKEN_AUDIENCE]))));
        for other in [
            status(false, Some(&[TOKEN_AUDIENCE])),
            status(true, Some(&["https://kubernetes.default.svc"])),
            status(true, Some(&[])),
            status(true, None),
        ] {
            assert!(!is_for_us(&other), "{other:?}");
        }
    }

    #[test]
    fn wrong_tokens_do_not_displace_who_is_known() {
        let (mut answers, since) = (Answers::default(), Instant::now());
        let known = Some(Reviewed { name: "zoe".to_owned(), may_write: false });
        answers.remember([0; 32], Answer { since, who: known.clone() });
        for wrong in 1..=2 * MAX_REMEMBERED {
            let mut hash = [1; 32];
            hash[..8].copy_from_slice(&wrong.to_be_bytes());
            answers.remember(hash, Answer { since, who: None });
        }
        let remembered = answers.lately(&[0; 32]).map(|answer| answer.who);
        assert_eq!((answers.0.len(), remembered), (MAX_REMEMBERED, Some(known)));
    }
}
