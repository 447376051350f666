pub(crate) fn an_uninstalled_chart_leaves_definitions_objects_and_rows(_: &crate::stage::Stage) {}
pub(crate) fn the_previous_chart_is_upgraded_by_both_helms(_: &crate::stage::Stage) {}
