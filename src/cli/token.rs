//! `token`: what the login of the web page asks for, where nobody can look into the file, as in a container.

use anyhow::Result;

use super::context::{Context, error_with_help};
use super::{Exit, output};
use crate::store::Access;

pub(super) fn run(context: &Context) -> Result<Exit> {
    let store = context.store(Access::Read)?;
    match crate::web::token_beside(store.path()) {
        Some(token) => {
            output::result(token.as_str());
            Ok(Exit::Ok)
        }
        None => Err(error_with_help(
            "there is no token yet",
            "`oxide-operator run` makes it when it serves the web page",
        )),
    }
}
