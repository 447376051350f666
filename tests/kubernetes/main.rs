//! The story of an installation, told on a real cluster with the real image, by the tools that people use: `helm`, `kubectl`,
//! and for the orchestrator Python with its own statements. Each step stands on those before it. Needs root.

#![expect(clippy::disallowed_methods, reason = "it runs a cluster")]

#[path = "../support/agent.rs"]
mod agent;
mod chart;
#[path = "../support/cluster.rs"]
mod cluster;
mod drift;
mod edit;
mod farewell;
#[path = "../support/image.rs"]
mod image;
mod install;
mod key;
mod outage;
#[path = "../support/plain_numbers.rs"]
mod plain_numbers;
mod pod;
mod restart;
mod stage;

use std::time::Instant;

use cluster::print_time;
use stage::Stage;

/// Goes through the steps in order, and says how long each took.
macro_rules! tell {
    ($stage:expr, $($chapter:ident::$step:ident),* $(,)?) => {
        $(
            let began = Instant::now();
            $chapter::$step($stage);
            print_time(&stringify!($step).replace('_', " "), began.elapsed());
        )*
    };
}

#[test]
fn an_installation_keeps_every_edit_from_its_first_day_to_its_last() {
    let stage = Stage::set();
    tell!(
        &stage,
        install::the_chart_is_installed_into_a_namespace_of_restricted_pods,
        install::an_annotated_deployment_gets_its_sidecar_first,
        install::a_store_appears_that_is_equal_to_what_is_declared,
        install::tables_of_kubectl_say_how_it_is,
        install::a_deployment_can_take_a_config_map_instead,
        install::an_idle_agent_is_small,
        edit::an_edited_oxide_config_arrives_in_the_database,
        edit::an_edited_config_map_arrives_in_the_database,
        edit::a_bad_edit_is_refused_with_the_reason,
        edit::a_bad_config_map_changes_nothing_and_says_why,
        edit::a_bad_annotation_is_refused_with_the_reason,
        drift::an_edit_of_the_database_is_reported_and_kept,
        drift::where_the_policy_says_so_it_is_reverted,
        drift::where_the_pod_says_so_it_is_promoted,
        restart::a_pod_that_comes_back_adopts_its_store,
        outage::a_minute_without_the_api_server_is_survived_and_made_up_for,
        key::a_new_api_key_in_a_secret_is_stored_under_the_encryption_key,
        key::a_new_encryption_key_opens_every_api_key_after_a_rotation,
        chart::the_chart_proves_its_own_installation,
        chart::every_object_it_renders_is_taken_by_the_api_server,
        chart::a_second_release_serves_another_namespace,
        chart::a_newer_chart_updates_the_definitions_and_older_ones_leave_them,
        chart::without_the_policy_a_kustomize_component_adds_the_sidecar,
        farewell::an_uninstalled_chart_leaves_definitions_objects_and_rows,
        farewell::the_previous_chart_is_upgraded_by_both_helms,
    );
}
