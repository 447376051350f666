//! `/livez`, `/startedz`, `/readyz` and `/metrics`.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;

use super::Published;
use crate::metrics::Metrics;
use crate::web::{self, Limits};

/// Prometheus 3 insists on a valid content type.
const EXPOSITION: &str = "text/plain; version=0.0.4; charset=utf-8";

#[derive(Clone)]
struct Served {
    published: Published,
    metrics: Arc<Metrics>,
}

/// Serves until the process ends.
pub(super) async fn serve(listener: TcpListener, published: Published, metrics: Arc<Metrics>) {
    let routes = Router::new()
        .route("/livez", get(live))
        .route("/startedz", get(started))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics_text))
        .with_state(Served { published, metrics });
    web::serve(listener, routes, Limits::of_health()).await;
}

/// Whether the owner of the store still answers: a kubelet restarts what does not.
async fn live(State(served): State<Served>) -> Response {
    answer(served.published.liveness(Instant::now()))
}

/// Whether the orchestrator may start: what the database holds is compared, or as good as can be had now.
async fn started(State(served): State<Served>) -> Response {
    answer(served.published.start())
}

async fn ready(State(served): State<Served>) -> Response {
    // Ready while it stands by, too: a rolling update ends the old agent only once the new one is.
    match (served.published.readiness(), served.published.waits_for()) {
        (Ok(()), Some(text)) => format!("{text}\n").into_response(),
        (found, _) => answer(found),
    }
}

fn answer(found: Result<(), String>) -> Response {
    match found {
        Ok(()) => "ok\n".into_response(),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}

async fn metrics_text(State(served): State<Served>) -> Response {
    ([(header::CONTENT_TYPE, EXPOSITION)], served.metrics.render(super::answer::wall_clock())).into_response()
}
