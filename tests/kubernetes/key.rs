pub(crate) fn a_new_api_key_in_a_secret_is_stored_under_the_encryption_key(_: &crate::stage::Stage) {}
pub(crate) fn a_new_encryption_key_opens_every_api_key_after_a_rotation(_: &crate::stage::Stage) {}
