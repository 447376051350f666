//! The web page and the API, beside the owner of the store.
//!
//! ```text
//!              owner thread                                   this module
//! Agent ─▶ pass ─▶ Board (what was seen, events)  ─────▶  pages, /api/v1, event stream
//!   ▲                                                          │
//!   └──────── Order (what to do, where to answer) ◀── Site ◀───┘   writes
//!                                    Reader (read-only connection) ─▶ reads
//! ```
//!
//! Nothing here writes: every write is an [`desk::Order`] that the owner carries out, one after the other, through the
//! same plan, backup and verification as the command line. Reads go through a read-only connection of their own.

mod api;
mod asked;
mod board;
mod caught;
mod compared;
mod desk;
#[cfg(debug_assertions)]
pub(crate) mod fuzzing;
mod guard;
mod live;
mod login;
mod pages;
mod places;
mod problem;
mod server;
mod site;
mod tag;
mod view;

use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::middleware;
use tokio::net::TcpListener;

pub(crate) use api::document as openapi;
pub(crate) use board::{Board, Seen};
pub(crate) use caught::is_caught;
pub(crate) use desk::{Desk, Order, Refused, carry_out};
pub(crate) use guard::host_of;
pub(crate) use login::token_beside;

use crate::cluster::Reviewer;
use crate::store::{KeySources, StoreError};
use login::Login;
pub(crate) use server::{Limits, serve};
use site::{Send, Site};
use view::Reader;

/// The web page, ready to be served.
pub(crate) struct Web {
    site: Site,
}

impl Web {
    /// Prepares the page and the API of a database.
    ///
    /// # Errors
    /// A token that can be neither read nor made.
    pub(crate) fn new(
        database: &Path,
        keys: KeySources,
        hosts: Vec<String>,
        board: Arc<Board>,
        send: Send,
        reviewer: Option<Reviewer>,
    ) -> Result<Self, StoreError> {
        let reader = Reader::new(database, keys)?;
        let login = Login::beside(database, reviewer)?;
        Ok(Self { site: Site::new(board, login, hosts, reader, database.to_owned(), send) })
    }

    /// Says where to look: with a link that lets one person in, once, where only whoever started this reads it. Anything
    /// but a terminal is kept and collected, and what lets somebody in has no place there.
    pub(crate) fn say_where(&self, address: SocketAddr) {
        let token = self.site.login.token_file().display();
        if std::io::stderr().is_terminal() {
            let code = self.site.login.new_link_code();
            tracing::info!(
                url = format!("http://{address}/login?code={}", *code),
                %token,
                "web page; the link is good for one login within 15 minutes, later ones take what `oxide-operator token` prints"
            );
        } else {
            let url = format!("http://{address}/");
            tracing::info!(url, %token, "web page; its login takes what `oxide-operator token` prints");
        }
    }

    /// Serves until the process ends.
    pub(crate) async fn serve(self, listener: TcpListener) {
        server::serve(listener, self.routes(), Limits::of_page()).await;
    }

    fn routes(self) -> Router {
        api::routes()
            .merge(pages::routes())
            .layer(middleware::from_fn_with_state(self.site.clone(), guard::guard))
            .with_state(self.site)
    }
}
