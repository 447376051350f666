//! A pod that goes and comes back.

use std::time::Instant;

use crate::cluster::print_time;
use crate::drift::DISABLE;
use crate::stage::{NAMESPACE, Stage, condition};

pub(crate) fn a_pod_that_comes_back_adopts_its_store(stage: &Stage) {
    let pod = stage.declared();
    pod.edit(DISABLE);
    let before = pod.await_status("drift", |status| condition(status, "Drifted") == "True");
    let rows = pod.rows();
    let began = Instant::now();
    stage.oxide(&["delete", "pod", pod.name(), "--wait"]);
    print_time("  of it until the pod is gone", began.elapsed());
    let next = stage.declared();
    assert_ne!(next.name(), pod.name());
    print_time("  of it until the next one is ready", began.elapsed());
    let after = next.await_status("the drift", |status| condition(status, "Drifted") == "True");
    for same in ["revision", "counts", "differences", "sourceDigest"] {
        assert_eq!(after[same], before[same], "{same}");
    }
    assert_eq!(next.rows(), rows, "nothing is lost, and nothing written");
    stage.wait(&["--for=delete", &format!("oxidestore/{}", pod.name()), "-n", NAMESPACE]);
    stage.await_object(NAMESPACE, "leases", "the next one that sums up", |lease| {
        lease["spec"]["holderIdentity"] == next.name()
    });
    print_time("  of it until the next one sums up", began.elapsed());
}
