//! The API server is away, for longer than anybody's patience.

use std::time::{Duration, Instant};

use crate::cluster::print_time;
use crate::stage::{NAMESPACE, Stage, condition};

const OUTAGE: Duration = Duration::from_mins(1);

/// How often somebody looks meanwhile.
const LOOKS_EVERY: Duration = Duration::from_millis(500);

const AVAILABLE: &str = "oxide_operator_source_available";
const DRIFTED_RULES: &str = "oxide_operator_drift_fields{class=\"drift\",section=\"routing_rules\"}";

pub(crate) fn a_minute_without_the_api_server_is_survived_and_made_up_for(stage: &Stage) {
    let pod = stage.declared();
    let served = pod.served();
    assert_eq!((pod.metric(AVAILABLE), pod.metric(DRIFTED_RULES)), (1, 0));
    let began = Instant::now();
    stage.stop_server();
    stage.inside(|| served.wait_for_metric(AVAILABLE, 0));
    print_time("  of it until the agent says so", began.elapsed());
    pod.edit_from_the_node(
        "UPDATE routing_rules SET timeout_seconds = 11, updated_at = ?1 WHERE task_type = 'quick_query'",
    );
    stage.inside(|| {
        served.wait_for_metric(DRIFTED_RULES, 1);
        while began.elapsed() < OUTAGE {
            assert_eq!((served.get("/readyz").0, served.get("/livez").0), (200, 200));
            assert_eq!((served.metric(AVAILABLE), served.metric(DRIFTED_RULES)), (0, 1));
            // The outage is to last; nothing is awaited here.
            std::thread::sleep(LOOKS_EVERY);
        }
    });
    stage.start_server();
    let back = Instant::now();
    stage.edit("oxideconfig/default", "s/timeout_seconds: 121/timeout_seconds: 122/").expect("a good edit");
    let generation = stage.get(NAMESPACE, "oxideconfig", "default")["metadata"]["generation"].clone();
    let status = pod.await_status("the edit and the drift", |status| {
        status["sourceGeneration"] == generation && status["counts"]["drift"] == 2
    });
    print_time("  of it from the API server's return until all is made up for", back.elapsed());
    assert_eq!((condition(&status, "Ready"), pod.metric(AVAILABLE)), ("True", 1));
    let config = pod.config();
    assert_eq!(config["execution"]["timeout_seconds"], 122);
    assert_eq!(config["routing_rules"]["quick_query"]["timeout_seconds"], 11, "kept");
    stage.event("Drifted", pod.name(), "routing_rules.quick_query.timeout_seconds");
    let restarts = stage.pod(NAMESPACE, "oxide-orchestrator").object["status"].clone();
    assert_eq!(restarts["initContainerStatuses"][0]["restartCount"], 0);
    assert_eq!(restarts["containerStatuses"][0]["restartCount"], 0);
    stage.restart_components();
}
