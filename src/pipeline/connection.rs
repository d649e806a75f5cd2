//! JVM client properties as ours.

use std::{collections::BTreeMap, sync::LazyLock};

use regex::Regex;

use crate::api::v1alpha1::{ClusterSpec, SaslMechanism, SaslSpec, SecretKeyRef, TlsSpec};

use super::{Notes, Secrets, object::Object};

/// Of the same name and meaning in librdkafka, and allowed in a spec.
const PASSED: [&str; 7] = [
    "client.id",
    "client.rack",
    "connections.max.idle.ms",
    "metadata.max.age.ms",
    "reconnect.backoff.ms",
    "reconnect.backoff.max.ms",
    "socket.connection.setup.timeout.ms",
];

/// Files of the machine that K2K runs on.
const FILES: [(&str, &str); 4] = [
    ("ssl.truststore.location", "ssl.truststore.certificates"),
    ("ssl.truststore.password", ""),
    ("ssl.keystore.location", "ssl.keystore.certificate.chain and ssl.keystore.key"),
    ("ssl.keystore.password", ""),
];

/// `<login module> required name="value" …;`
static JAAS: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"(?s)^\s*[\w.$]+\s+required\s+(.*);\s*$").ok());
static OPTION: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r#"(\w+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)')"#).ok());
/// `${NAME}`, `${env:NAME}`, `${env:string:NAME}`.
static VARIABLE: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"^\$\{(?:(\w+):)?((?:\w+:)*)([^:{}]+)\}$").ok());

/// The connection of one side, by `kafka.common`. None where nothing can be said of it.
pub fn cluster(
    file: &mut Object,
    side: &'static str,
    secrets: Secrets<'_>,
    notes: &mut Notes,
) -> Option<ClusterSpec> {
    let missing = format!("{side}.kafka.common");
    let Some(mut side_of_file) = file.object(side, notes) else {
        notes.problem(&missing, "is missing");
        return None;
    };
    let kafka = side_of_file.object("kafka", notes);
    side_of_file.rest(notes);
    let Some(mut kafka) = kafka else {
        notes.problem(&missing, "is missing");
        return None;
    };
    let common = kafka.object("common", notes);
    kafka.rest(notes);
    let Some(common) = common else {
        notes.problem(&missing, "is missing");
        return None;
    };
    Some(Translator { common, secrets, side, notes }.translated())
}

struct Translator<'a> {
    common: Object,
    secrets: Secrets<'a>,
    side: &'static str,
    notes: &'a mut Notes,
}

impl Translator<'_> {
    fn translated(mut self) -> ClusterSpec {
        let bootstrap_servers = self.plain("bootstrap.servers").unwrap_or_else(|| {
            self.notes.problem(&self.common.field("bootstrap.servers"), "is missing");
            String::new()
        });
        let protocol = self.plain("security.protocol").unwrap_or_else(|| "PLAINTEXT".to_owned());
        let (tls, sasl) = match protocol.as_str() {
            "PLAINTEXT" => (None, None),
            "SSL" => (Some(self.tls()), None),
            "SASL_PLAINTEXT" => (Some(without_tls()), self.sasl()),
            "SASL_SSL" => (Some(self.tls()), self.sasl()),
            other => {
                let text = format!("is {other}: PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL is possible");
                self.notes.problem(&self.common.field("security.protocol"), text);
                (None, None)
            }
        };
        let mut properties = BTreeMap::new();
        for name in PASSED {
            if let Some(value) = self.plain(name) {
                properties.insert(name.to_owned(), value);
            }
        }
        self.common.rest(self.notes);
        ClusterSpec { bootstrap_servers, tls, sasl, properties }
    }

    /// A value that is no secret.
    fn plain(&mut self, key: &str) -> Option<String> {
        let value = self.common.text(key, self.notes)?;
        if value.contains("${") {
            let text = format!(
                "takes a variable, which is not a secret here: write its value out, or give spec.{} in the \
                 K2KReplicator",
                self.side
            );
            self.notes.problem(&self.common.field(key), text);
        }
        Some(value)
    }

    fn tls(&mut self) -> TlsSpec {
        if let Secrets::Moved(secret) = self.secrets {
            return self.tls_moved(secret);
        }
        for (key, instead) in FILES {
            if self.common.take(key).is_some() && !instead.is_empty() {
                let text = format!(
                    "is a file that only K2K can read: put {instead} there (ssl.…store.type: PEM), or give spec.{} in \
                     the K2KReplicator",
                    self.side
                );
                self.notes.problem(&self.common.field(key), text);
            }
        }
        for key in ["ssl.truststore.type", "ssl.keystore.type"] {
            if self.plain(key).is_some_and(|kind| kind != "PEM") {
                self.notes.problem(&self.common.field(key), "must be PEM");
            }
        }
        self.tls_of_texts()
    }

    /// Stores of the JVM come to keys of the Secret too, as PEM.
    fn tls_moved(&mut self, secret: &str) -> TlsSpec {
        let [trust, _, keys, _] = FILES.map(|(key, _)| self.common.take(key).is_some());
        for key in ["ssl.truststore.type", "ssl.keystore.type"] {
            self.plain(key);
        }
        let mut tls = self.tls_of_texts();
        let mut moved = |file: &str, name: &str, what: &str| {
            let key = format!("{}-{name}", self.side);
            self.notes.moved.push((key.clone(), format!("{}, {what}", self.common.field(file))));
            Some(SecretKeyRef { name: secret.to_owned(), key })
        };
        if trust && tls.ca_secret_ref.is_none() {
            let what = "its certificates as PEM (keytool -list -rfc -keystore FILE)";
            tls.ca_secret_ref = moved("ssl.truststore.location", "ca.crt", what);
        }
        if keys && tls.certificate_secret_ref.is_none() {
            let convert = "as PEM (keytool -importkeystore to PKCS12, then openssl pkcs12";
            let (chain, key) =
                (format!("its chain {convert} -nokeys)"), format!("its key {convert} -nocerts -nodes)"));
            tls.certificate_secret_ref = moved("ssl.keystore.location", "tls.crt", &chain);
            tls.private_key_secret_ref = moved("ssl.keystore.location", "tls.key", &key);
        }
        tls
    }

    fn tls_of_texts(&mut self) -> TlsSpec {
        TlsSpec {
            enabled: true,
            ca_secret_ref: self.secret("ssl.truststore.certificates", "ca.crt"),
            certificate_secret_ref: self.secret("ssl.keystore.certificate.chain", "tls.crt"),
            private_key_secret_ref: self.secret("ssl.keystore.key", "tls.key"),
        }
    }

    fn secret(&mut self, key: &str, moved: &str) -> Option<SecretKeyRef> {
        let value = self.common.text(key, self.notes)?;
        let field = self.common.field(key);
        self.reference(&field, &value, moved)
    }

    fn sasl(&mut self) -> Option<SaslSpec> {
        let field = self.common.field("sasl.mechanism");
        let mechanism = match self.plain("sasl.mechanism").as_deref() {
            Some("PLAIN") => Some(SaslMechanism::Plain),
            Some("SCRAM-SHA-256") => Some(SaslMechanism::ScramSha256),
            Some("SCRAM-SHA-512") => Some(SaslMechanism::ScramSha512),
            _ => None,
        };
        if mechanism.is_none() {
            self.notes.problem(&field, "must be PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512");
        }
        let field = self.common.field("sasl.jaas.config");
        let Some(jaas) = self.common.text("sasl.jaas.config", self.notes) else {
            self.notes.problem(&field, "is missing");
            return None;
        };
        let Some((username, password)) = login(&jaas) else {
            let text = format!(
                "must be written out as `<login module> required username=\"…\" password=\"${{env:NAME}}\";`; or give \
                 spec.{} in the K2KReplicator",
                self.side
            );
            self.notes.problem(&field, text);
            return None;
        };
        if username.contains("${") {
            self.notes.problem(&field, "takes a variable for the user's name: write it out");
        }
        let password = self.reference(&format!("{field} (password)"), &password, "password")?;
        Some(SaslSpec { mechanism: mechanism?, username, password_secret_ref: password })
    }

    /// Where the value of a secret is.
    fn reference(&mut self, field: &str, value: &str, moved: &str) -> Option<SecretKeyRef> {
        let variable = VARIABLE.as_ref().and_then(|variable| variable.captures(value));
        let of = |name: &str, key: String| Some(SecretKeyRef { name: name.to_owned(), key });
        match (variable, self.secrets) {
            (Some(parts), Secrets::Of(Some(secret)) | Secrets::Moved(secret)) => {
                let loader = parts.get(1).map_or("env", |loader| loader.as_str());
                let mappers = parts.get(2).map_or("", |mappers| mappers.as_str());
                if loader != "env" || mappers.split(':').any(|m| !["", "string", "raw"].contains(&m)) {
                    self.notes.problem(
                        field,
                        format!("takes {value}: only ${{env:NAME}} can be a key of a Secret"),
                    );
                    return None;
                }
                of(secret, parts[3].to_owned())
            }
            (Some(_), Secrets::Of(None)) => {
                let text = format!(
                    "takes {value}: name the Secret that has this key in spec.pipelineFrom.secretRef, or give \
                     spec.{} in the K2KReplicator",
                    self.side
                );
                self.notes.problem(field, text);
                None
            }
            // Some other variable: no value that could be put anywhere.
            (None, _) if value.contains("${") => {
                let text = "takes a variable within a text, or of another kind: only ${env:NAME} as a whole can be a \
                            key of a Secret";
                self.notes.problem(field, text);
                None
            }
            (None, Secrets::Moved(secret)) => {
                let key = format!("{}-{moved}", self.side);
                self.notes.moved.push((key.clone(), field.to_owned()));
                of(secret, key)
            }
            // Never the value itself.
            (None, Secrets::Of(_)) => {
                let text = "stands in the file, where everybody may read it: put it into a Secret, write \
                            ${env:NAME} here, and name the Secret in spec.pipelineFrom.secretRef";
                self.notes.problem(field, text);
                None
            }
        }
    }
}

fn without_tls() -> TlsSpec {
    TlsSpec {
        enabled: false,
        ca_secret_ref: None,
        certificate_secret_ref: None,
        private_key_secret_ref: None,
    }
}

/// User name and password of a JAAS configuration.
fn login(jaas: &str) -> Option<(String, String)> {
    let options = JAAS.as_ref()?.captures(jaas)?.get(1)?.as_str();
    let option = |name: &str| {
        let mut all = OPTION.as_ref()?.captures_iter(options);
        let found = all.find(|option| &option[1] == name)?;
        let value = found.get(2).or_else(|| found.get(3))?.as_str();
        Some(unescaped(value))
    };
    Some((option("username")?, option("password")?))
}

fn unescaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        text.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    text
}
