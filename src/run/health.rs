//! `/livez`, `/startedz`, `/readyz` and `/metrics`.

use std::sync::Arc;

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
        .route("/livez", get(|| async { "ok\n" }))
        .route("/startedz", get(started))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics_text))
        .with_state(Served { published, metrics });
    web::serve(listener, routes, Limits::HEALTH).await;
}

/// Whether the orchestrator may start: what the database holds is compared, or as good as can be had now.
async fn started(State(served): State<Served>) -> Response {
    match served.published.start() {
        Ok(()) => "ok\n".into_response(),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}

async fn ready(State(served): State<Served>) -> Response {
    match served.published.readiness() {
        Ok(()) => "ok\n".into_response(),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}

async fn metrics_text(State(served): State<Served>) -> Response {
    ([(header::CONTENT_TYPE, EXPOSITION)], served.metrics.render(super::answer::wall_clock())).into_response()
}
