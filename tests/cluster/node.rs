//! The node of the cluster: takes every Pod that nobody has and runs it as its spec says, in a root directory that
//! holds the files of its image and its volumes and nothing else, as its user, without any privilege. What a kubelet
//! does, as far as these Pods need it; a Pod that asks for more is told so in its status.
//!
//! There is one network: a Pod's address is one of the loopback's, and a process that would listen on all addresses
//! is told to listen on its Pod's. No limits of resources are set.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use futures::StreamExt as _;
use k8s_openapi::api::{
    authentication::v1::TokenRequest,
    core::v1::{
        ConfigMap, Container, HTTPGetAction, Node as NodeObject, Pod, PodSpec, Secret, ServiceAccount,
        Volume, VolumeProjection,
    },
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions},
    runtime::watcher,
};
use serde_json::{Value, json};

use super::image::Image;
use crate::harness::{
    http,
    stack::{block_on, kube, runtime, var},
};

const NAME: &str = "node";

/// The node. Its Pods end with it.
pub struct Node {
    ended: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<()>,
}

impl Node {
    /// A node that has these images, by their names without tag and digest.
    pub fn start(images: BTreeMap<String, Image>) -> Self {
        let object = json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": NAME } });
        let object: NodeObject = serde_json::from_value(object).unwrap();
        block_on(Api::all(kube()).create(&PostParams::default(), &object)).unwrap();
        let ended = Arc::new(AtomicBool::new(false));
        let task = runtime().spawn(watch(Arc::new(images), Arc::clone(&ended)));
        Self { ended, task }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.task.abort();
        let _ = block_on(Api::<NodeObject>::all(kube()).delete(NAME, &DeleteParams::default()));
        self.ended.store(true, Ordering::Relaxed);
        // Each looks up within its pause, and kills its process.
        thread::sleep(PAUSE * 5);
    }
}

/// Between two looks at a process.
const PAUSE: Duration = Duration::from_millis(100);

async fn watch(images: Arc<BTreeMap<String, Image>>, ended: Arc<AtomicBool>) {
    let mut running: BTreeMap<String, Arc<AtomicBool>> = BTreeMap::new();
    let mut events = watcher(Api::<Pod>::all(kube()), watcher::Config::default()).boxed();
    while let Some(event) = events.next().await {
        // The watch is begun anew.
        let Ok(event) = event else { continue };
        match event {
            watcher::Event::Apply(pod) | watcher::Event::InitApply(pod) => {
                let uid = pod.uid().unwrap();
                let node = pod.spec.as_ref().unwrap().node_name.clone();
                if let Some(leaves) = running.get(&uid) {
                    leaves.store(pod.metadata.deletion_timestamp.is_some(), Ordering::Relaxed);
                } else if node.is_none() && pod.metadata.deletion_timestamp.is_none() {
                    bind(&pod).await;
                } else if node.as_deref() == Some(NAME) {
                    let leaves = Arc::new(AtomicBool::new(pod.metadata.deletion_timestamp.is_some()));
                    running.insert(uid, Arc::clone(&leaves));
                    let (images, ended) = (Arc::clone(&images), Arc::clone(&ended));
                    thread::spawn(move || run(pod, &images, &leaves, &ended));
                }
            }
            watcher::Event::Delete(pod) => {
                if let Some(leaves) = running.remove(&pod.uid().unwrap()) {
                    leaves.store(true, Ordering::Relaxed);
                }
            }
            watcher::Event::Init | watcher::Event::InitDone => {}
        }
    }
}

/// What a scheduler does where there is one node.
async fn bind(pod: &Pod) {
    let (namespace, name) = (pod.namespace().unwrap(), pod.name_any());
    let binding = json!({
        "apiVersion": "v1", "kind": "Binding", "metadata": { "name": name },
        "target": { "apiVersion": "v1", "kind": "Node", "name": NAME },
    });
    let (pods, params) = (Api::<Pod>::namespaced(kube(), &namespace), PostParams::default());
    // One that is gone or bound meanwhile comes again if it matters.
    let _ = pods.create_subresource::<_, Value>("binding", &name, &params, &binding).await;
}

/// A Pod with one container, from its start to its end.
fn run(pod: Pod, images: &BTreeMap<String, Image>, leaves: &AtomicBool, ended: &AtomicBool) {
    static ADDRESSES: AtomicU8 = AtomicU8::new(1);
    let address = format!("127.8.0.{}", ADDRESSES.fetch_add(1, Ordering::Relaxed));
    let life = Life { api: Api::namespaced(kube(), &pod.namespace().unwrap()), pod, address };
    let gone = || leaves.load(Ordering::Relaxed) || ended.load(Ordering::Relaxed);
    let mut restarts = 0;
    while !gone() {
        match life.process(images) {
            Ok(mut process) => {
                life.watch(&mut process, restarts, &gone);
                if gone() {
                    life.end(&mut process);
                }
            }
            Err(message) => life.tell(restarts, State::Waiting(message)),
        }
        if !gone() {
            // A back-off that is as short as a test's patience.
            restarts += 1;
            thread::sleep(PAUSE * 10);
        }
    }
    let uid = life.pod.uid();
    let now = DeleteParams {
        grace_period_seconds: Some(0),
        preconditions: Some(Preconditions { uid, resource_version: None }),
        ..DeleteParams::default()
    };
    let _ = block_on(life.api.delete(&life.pod.name_any(), &now));
}

struct Life {
    api: Api<Pod>,
    pod: Pod,
    address: String,
}

enum State {
    Running { ready: bool },
    Waiting(String),
}

impl Life {
    fn spec(&self) -> &PodSpec {
        self.pod.spec.as_ref().unwrap()
    }

    fn container(&self) -> &Container {
        &self.spec().containers[0]
    }

    /// Starts its container. The error is what the Pod asks for and this node has not.
    fn process(&self, images: &BTreeMap<String, Image>) -> Result<Child, String> {
        let (spec, container) = (self.spec(), self.container());
        if spec.containers.len() != 1 || spec.init_containers.is_some() {
            return Err("this node runs Pods of one container".into());
        }
        let name = container.image.as_deref().unwrap_or_default();
        let repository = name.split('@').next().unwrap();
        let repository = match repository.rsplit_once(':') {
            Some((before, tag)) if !tag.contains('/') => before,
            _ => repository,
        };
        let image = images.get(repository).ok_or_else(|| format!("there is no image {name}"))?;

        let mut env = image.env.clone();
        env.insert("PATH".into(), "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into());
        // Every container is told where the API server is.
        env.insert("KUBERNETES_SERVICE_HOST".into(), "127.0.0.1".into());
        env.insert("KUBERNETES_SERVICE_PORT".into(), var("KUBE_PORT"));
        for variable in container.env.iter().flatten() {
            let value = match (&variable.value, &variable.value_from) {
                (value, None) => expand(value.as_deref().unwrap_or_default(), &env),
                (_, Some(from)) => {
                    let field =
                        from.field_ref.as_ref().ok_or("only env from fields is known to this node")?;
                    self.field(&field.field_path)?
                }
            };
            env.insert(variable.name.clone(), value);
        }
        let entrypoint = container.command.as_ref().unwrap_or(&image.entrypoint);
        let args = match (&container.args, &container.command) {
            (Some(args), _) => args.clone(),
            (None, None) => image.command.clone(),
            (None, Some(_)) => Vec::new(),
        };
        let here = format!("{}:", self.address);
        let words = entrypoint.iter().chain(&args).map(|word| expand(word, &env).replace("0.0.0.0:", &here));
        let words: Vec<String> = words.collect();

        let root = PathBuf::from(var("STACK_DIR")).join("pods").join(self.pod.uid().unwrap());
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(&root).unwrap();
        image.unpack(&root);
        self.mount(&root)?;
        let before = if image.files.is_some() { self.contained(&root, image)? } else { Vec::new() };
        let mut all = before.into_iter().chain(words);
        let mut command = Command::new(all.next().ok_or("the image has no entry point")?);
        command.args(all).env_clear().envs(&env).stdin(Stdio::null());
        let log = format!("{}/log/pod-{}.log", var("STACK_DIR"), self.pod.name_any());
        let log = File::options().create(true).append(true).open(log).unwrap();
        command.stdout(log.try_clone().unwrap()).stderr(log);
        command.spawn().map_err(|error| error.to_string())
    }

    /// Everything before the program's own words: its root, its user, nothing that it could gain.
    fn contained(&self, root: &Path, image: &Image) -> Result<Vec<String>, String> {
        let security = self.container().security_context.clone().unwrap_or_default();
        let pod = self.spec().security_context.clone().unwrap_or_default();
        let user = security.run_as_user.or(pod.run_as_user).unwrap_or(image.user.into());
        let group = security.run_as_group.or(pod.run_as_group).unwrap_or(user);
        if user == 0 && security.run_as_non_root.or(pod.run_as_non_root) == Some(true) {
            return Err("container has runAsNonRoot and image will run as root".into());
        }
        // Its files are not the user's own, so they cannot be changed by it; without root of this machine they are,
        // and the root is as it is only by their modes.
        let is_root = fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0);
        let text = if is_root {
            format!("setpriv --no-new-privs chroot --groups= --userspec={user}:{group} {}", root.display())
        } else {
            format!(
                "setpriv --no-new-privs unshare --user --map-user={user} --map-group={group} --root={} --wd=/",
                root.display()
            )
        };
        Ok(text.split(' ').map(str::to_owned).collect())
    }

    fn field(&self, path: &str) -> Result<String, String> {
        match path {
            "metadata.name" => Ok(self.pod.name_any()),
            "metadata.namespace" => Ok(self.pod.namespace().unwrap()),
            "metadata.uid" => Ok(self.pod.uid().unwrap()),
            "status.podIP" => Ok(self.address.clone()),
            other => Err(format!("the field {other} is not known to this node")),
        }
    }

    /// Writes the volumes where they are mounted.
    fn mount(&self, root: &Path) -> Result<(), String> {
        for mount in self.container().volume_mounts.iter().flatten() {
            let volumes = self.spec().volumes.as_deref().unwrap_or_default();
            let volume = volumes.iter().find(|volume| volume.name == mount.name).unwrap();
            let dir = root.join(mount.mount_path.trim_start_matches('/'));
            fs::create_dir_all(&dir).unwrap();
            for (path, content) in self.files(volume)? {
                fs::write(dir.join(path), content).unwrap();
            }
            if volume.empty_dir.is_some() {
                fs::set_permissions(&dir, fs::Permissions::from_mode(0o1777)).unwrap();
            }
        }
        Ok(())
    }

    fn files(&self, volume: &Volume) -> Result<BTreeMap<String, Vec<u8>>, String> {
        let unknown = || format!("volumes like {} are not known to this node", volume.name);
        if volume.empty_dir.is_some() {
            return Ok(BTreeMap::new());
        }
        if let Some(source) = &volume.config_map {
            return self.config_map(&source.name);
        }
        if let Some(source) = &volume.secret {
            return self.secret(source.secret_name.as_deref().unwrap_or_default());
        }
        let mut all = BTreeMap::new();
        for source in volume.projected.as_ref().ok_or_else(unknown)?.sources.iter().flatten() {
            all.extend(self.projected(source)?.ok_or_else(unknown)?);
        }
        Ok(all)
    }

    fn projected(&self, source: &VolumeProjection) -> Result<Option<BTreeMap<String, Vec<u8>>>, String> {
        if let Some(token) = &source.service_account_token {
            let account = self.spec().service_account_name.clone().unwrap_or("default".into());
            let request: TokenRequest = serde_json::from_value(json!({ "spec": {
                "audiences": token.audience.iter().collect::<Vec<_>>(),
                "expirationSeconds": token.expiration_seconds,
                "boundObjectRef": {
                    "apiVersion": "v1", "kind": "Pod", "name": self.pod.name_any(), "uid": self.pod.uid(),
                },
            }}))
            .unwrap();
            let accounts = Api::<ServiceAccount>::namespaced(kube(), &self.pod.namespace().unwrap());
            let answer = block_on(accounts.create_token_request(&account, &PostParams::default(), &request));
            let made = json!(answer.map_err(|error| error.to_string())?.status)["token"]
                .as_str()
                .unwrap()
                .to_owned();
            return Ok(Some(BTreeMap::from([(token.path.clone(), made.into_bytes())])));
        }
        if let Some(map) = &source.config_map {
            return self.config_map(&map.name).map(Some);
        }
        let Some(downward) = &source.downward_api else { return Ok(None) };
        let mut files = BTreeMap::new();
        for item in downward.items.iter().flatten() {
            let field = item.field_ref.as_ref().ok_or("only fields are known to this node")?;
            files.insert(item.path.clone(), self.field(&field.field_path)?.into_bytes());
        }
        Ok(Some(files))
    }

    fn config_map(&self, name: &str) -> Result<BTreeMap<String, Vec<u8>>, String> {
        let maps = Api::<ConfigMap>::namespaced(kube(), &self.pod.namespace().unwrap());
        let map = block_on(maps.get(name)).map_err(|error| error.to_string())?;
        Ok(map.data.into_iter().flatten().map(|(key, value)| (key, value.into_bytes())).collect())
    }

    fn secret(&self, name: &str) -> Result<BTreeMap<String, Vec<u8>>, String> {
        let secrets = Api::<Secret>::namespaced(kube(), &self.pod.namespace().unwrap());
        let secret = block_on(secrets.get(name)).map_err(|error| error.to_string())?;
        Ok(secret.data.into_iter().flatten().map(|(key, value)| (key, value.0)).collect())
    }

    /// Looks after its process by its probes until that has ended, or the Pod has to go.
    fn watch(&self, process: &mut Child, restarts: i32, gone: &dyn Fn() -> bool) {
        let container = self.container();
        let probe = |probe: &Option<k8s_openapi::api::core::v1::Probe>| {
            probe.as_ref().and_then(|probe| probe.http_get.clone()).map(|get| self.path_of(&get))
        };
        let (readiness, liveness) = (probe(&container.readiness_probe), probe(&container.liveness_probe));
        let well = |at: &Option<(String, String)>| {
            at.as_ref().is_none_or(|(address, path)| {
                http::get_from(address, path).is_some_and(|answer| (200..400).contains(&answer.status))
            })
        };
        let (mut told, mut failed, mut looked) = (None, 0, Instant::now());
        while process.try_wait().unwrap().is_none() && !gone() {
            let ready = well(&readiness);
            if told != Some(ready) {
                self.tell(restarts, State::Running { ready });
                told = Some(ready);
            }
            if looked.elapsed() >= Duration::from_secs(10) {
                failed = if well(&liveness) { 0 } else { failed + 1 };
                looked = Instant::now();
                if failed >= 3 {
                    self.end(process);
                }
            }
            thread::sleep(PAUSE * 2);
        }
    }

    fn path_of(&self, get: &HTTPGetAction) -> (String, String) {
        use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
        let port = match &get.port {
            IntOrString::Int(port) => *port,
            IntOrString::String(name) => {
                let mut ports = self.container().ports.iter().flatten();
                ports
                    .find(|port| port.name.as_ref() == Some(name))
                    .expect("a port of that name")
                    .container_port
            }
        };
        (format!("{}:{port}", self.address), get.path.clone().unwrap_or("/".into()))
    }

    /// SIGTERM, its grace period, SIGKILL.
    fn end(&self, process: &mut Child) {
        let _ = Command::new("kill").arg(process.id().to_string()).status();
        let grace = self.spec().termination_grace_period_seconds.unwrap_or(30);
        let deadline = Instant::now() + Duration::from_secs(grace.unsigned_abs());
        while process.try_wait().unwrap().is_none() {
            if Instant::now() > deadline {
                let _ = process.kill();
            }
            thread::sleep(PAUSE);
        }
    }

    fn tell(&self, restarts: i32, state: State) {
        let now = jiff::Timestamp::now().to_string();
        let (ready, state) = match state {
            State::Running { ready } => (ready, json!({ "running": { "startedAt": now } })),
            State::Waiting(message) => {
                (false, json!({ "waiting": { "reason": "CreateContainerError", "message": message } }))
            }
        };
        let condition = |kind: &str, is: bool| {
            let status = if is { "True" } else { "False" };
            json!({ "type": kind, "status": status, "lastTransitionTime": now })
        };
        let container = self.container();
        let status = json!({ "status": {
            "phase": "Running", "startTime": now, "podIP": self.address, "podIPs": [{ "ip": self.address }],
            "conditions": [
                condition("PodScheduled", true), condition("Initialized", true),
                condition("ContainersReady", ready), condition("Ready", ready),
            ],
            "containerStatuses": [{
                "name": container.name, "image": container.image, "imageID": "", "ready": ready, "started": true,
                "restartCount": restarts, "state": state,
            }],
        }});
        let name = self.pod.name_any();
        let _ = block_on(self.api.patch_status(&name, &PatchParams::default(), &Patch::Merge(&status)));
    }
}

/// `$(NAME)` for variables that there are, as Kubernetes replaces them.
fn expand(text: &str, env: &BTreeMap<String, String>) -> String {
    env.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("$({name})"), value))
}
