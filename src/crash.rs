//! Crash points: places where a test makes the operator die. Nothing at all without the feature
//! `crash-points`, which no shipped binary has.

/// Aborts the process here, once for the object that `APPMIGRATION_CRASH_AT=<point>@<namespace>/<name>` names.
#[macro_export]
macro_rules! crash_point {
    ($point:literal, $object:expr) => {
        #[cfg(feature = "crash-points")]
        $crate::crash::reached($point, &$object);
    };
}

/// The point was reached for `object`.
#[cfg(feature = "crash-points")]
pub fn reached<K: kube::ResourceExt>(point: &str, object: &K) {
    let here = format!("{point}@{}/{}", object.namespace().unwrap_or_default(), object.name_any());
    if std::env::var("APPMIGRATION_CRASH_AT").as_deref() == Ok(here.as_str()) {
        tracing::error!(%here, "crash point");
        std::process::abort();
    }
}
