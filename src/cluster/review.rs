//! Whose a bearer token is, and what they may do with a store: asked of the API server, so that accounts of the cluster
//! are accounts of the page.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::api::{Api, PostParams};
use kube::{Client, Error};
use sha2::{Digest as _, Sha256};

use super::{chain, client, within};
use crate::crd::GROUP;

/// How long an answer counts: whoever loses a right loses it here within this time.
const REMEMBERED_FOR: Duration = Duration::from_mins(1);

/// At most this many answers are remembered; a flood of wrong tokens must not fill the memory.
const MAX_REMEMBERED: usize = 256;

/// How long an answer of the API server may take while somebody waits for a page.
const ANSWERED_WITHIN: Duration = Duration::from_secs(5);

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
    remembered: Mutex<BTreeMap<[u8; 32], Answer>>,
}

impl Reviewer {
    /// Rights are those on an `OxideStore`.
    pub fn new(namespace: String, store: String) -> Self {
        Self { namespace, store, remembered: Mutex::default() }
    }

    /// Returns who a token is of; none for a token that nobody knows, or somebody who may not look.
    ///
    /// # Errors
    /// Why the API server could not be asked.
    pub async fn review(&self, token: &str) -> Result<Option<Reviewed>, String> {
        let hash: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let known = {
            let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
            remembered.retain(|_, answer| answer.since.elapsed() < REMEMBERED_FOR);
            remembered.get(&hash).cloned()
        };
        if let Some(known) = known {
            return Ok(known.who);
        }
        let who = self.ask(token).await.map_err(|error| chain(&error))?;
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if remembered.len() < MAX_REMEMBERED {
            remembered.insert(hash, Answer { since: Instant::now(), who: who.clone() });
        }
        Ok(who)
    }

    async fn ask(&self, token: &str) -> Result<Option<Reviewed>, Error> {
        let client = client().await?;
        let reviews: Api<TokenReview> = Api::all(client.clone());
        let spec = TokenReviewSpec { token: token.to_owned(), ..TokenReviewSpec::default() };
        let review = TokenReview { spec, ..TokenReview::default() };
        let how = PostParams::default();
        let answer = within(ANSWERED_WITHIN, reviews.create(&how, &review)).await?;
        let user = answer.status.filter(|status| status.authenticated == Some(true)).and_then(|it| it.user);
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
