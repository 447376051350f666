pub(crate) fn the_chart_proves_its_own_installation(_: &crate::stage::Stage) {}
pub(crate) fn every_object_it_renders_is_taken_by_the_api_server(_: &crate::stage::Stage) {}
pub(crate) fn a_second_release_serves_another_namespace(_: &crate::stage::Stage) {}
pub(crate) fn a_newer_chart_updates_the_definitions_and_older_ones_leave_them(_: &crate::stage::Stage) {}
pub(crate) fn without_the_policy_a_kustomize_component_adds_the_sidecar(_: &crate::stage::Stage) {}
