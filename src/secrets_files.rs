//! Secrets of a command that runs outside Kubernetes: from its own manifest, from files laid out like mounted
//! Secrets, or from the environment. Reads only; a value is never logged or part of an error.

use std::{io::ErrorKind, path::PathBuf};

use crate::{
    api::v1alpha1::SecretKeyRef,
    manifest::InlineSecrets,
    secrets::{SecretError, SecretSource},
};

/// Before a variable that holds one key of a Secret: `APPMIGRATION_SECRET_EU_USER_PASSWORD` is the key
/// `password` of the Secret `eu-user`.
const PREFIX: &str = "APPMIGRATION_SECRET";

/// Looks in the manifest, then in `DIR/<secret>/<key>`, then in the environment; the first that has the key
/// wins.
#[derive(Debug, Default)]
pub struct LocalSecrets {
    inline: Inline,
    dir: Option<PathBuf>,
}

#[derive(Default)]
struct Inline(InlineSecrets);

impl std::fmt::Debug for Inline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl LocalSecrets {
    /// `inline`: those of the manifest. `dir`: a folder with a folder for each Secret and a file for each key.
    pub fn new(inline: InlineSecrets, dir: Option<PathBuf>) -> Self {
        Self { inline: Inline(inline), dir }
    }

    fn find(&self, reference: &SecretKeyRef) -> Result<Option<Vec<u8>>, SecretError> {
        let SecretKeyRef { name, key } = reference;
        if let Some(value) = self.inline.0.get(name).and_then(|secret| secret.get(key)) {
            return Ok(Some(value.clone()));
        }
        if let Some(value) = self.read_file(name, key)? {
            return Ok(Some(value));
        }
        Ok(std::env::var_os(variable(name, key)).map(std::ffi::OsString::into_encoded_bytes))
    }

    fn read_file(&self, name: &str, key: &str) -> Result<Option<Vec<u8>>, SecretError> {
        let Some(dir) = &self.dir else { return Ok(None) };
        let unavailable = |reason| SecretError::Unavailable { name: name.to_owned(), reason };
        if [name, key].iter().any(|part| part.contains(['/', '\\']) || part.starts_with('.')) {
            return Err(unavailable(format!("`{name}/{key}` is no name of a file within --secrets-dir")));
        }
        let file = dir.join(name).join(key);
        match std::fs::read(&file) {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(unavailable(format!("{}: {error}", file.display()))),
        }
    }
}

impl SecretSource for LocalSecrets {
    async fn read(&self, reference: &SecretKeyRef) -> Result<String, SecretError> {
        let SecretKeyRef { name, key } = reference.clone();
        match self.find(reference)? {
            Some(value) => String::from_utf8(value).map_err(|_| SecretError::NotText { name, key }),
            None if self.inline.0.contains_key(&name) => Err(SecretError::KeyMissing { name, key }),
            None => Err(SecretError::Missing { name }),
        }
    }
}

/// The variable of one key: upper case, and `_` for whatever else than a letter or digit.
pub fn variable(name: &str, key: &str) -> String {
    let upper = |c: char| {
        if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }
    };
    format!("{PREFIX}_{name}_{key}").chars().map(upper).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read(secrets: &LocalSecrets, name: &str, key: &str) -> Result<String, SecretError> {
        let reference = SecretKeyRef { name: name.into(), key: key.into() };
        futures::executor::block_on(secrets.read(&reference))
    }

    #[test]
    fn files_lie_like_mounted_secrets() {
        let dir = std::env::temp_dir().join(format!("appmigration-secrets-{}", std::process::id()));
        std::fs::create_dir_all(dir.join("eu-user")).unwrap();
        std::fs::write(dir.join("eu-user/password"), "s3cret").unwrap();
        std::fs::write(dir.join("eu-user/raw"), [0xff]).unwrap();
        let secrets = LocalSecrets::new(InlineSecrets::new(), Some(dir.clone()));
        assert_eq!(read(&secrets, "eu-user", "password").unwrap(), "s3cret");
        assert!(matches!(read(&secrets, "eu-user", "raw"), Err(SecretError::NotText { .. })));
        assert!(matches!(read(&secrets, "eu-user", "other"), Err(SecretError::Missing { .. })));
        assert!(matches!(read(&secrets, "..", "password"), Err(SecretError::Unavailable { .. })));
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn the_manifest_s_own_secrets_come_first() {
        let inline = InlineSecrets::from([("a".into(), [("k".into(), b"v".to_vec())].into())]);
        let secrets = LocalSecrets::new(inline, None);
        assert_eq!(read(&secrets, "a", "k").unwrap(), "v");
        assert!(matches!(read(&secrets, "a", "x"), Err(SecretError::KeyMissing { .. })));
        assert!(!format!("{secrets:?}").contains("118"));
    }

    #[test]
    fn variables_are_upper_case() {
        assert_eq!(variable("eu-user", "tls.crt"), "APPMIGRATION_SECRET_EU_USER_TLS_CRT");
    }
}
