// PodWorker's hands: starting and stopping containers, and the end of the pod.
#include <algorithm>

#include "base/log.h"
#include "net/http.h"
#include "node/node_metrics.h"
#include "node/pods/containers.h"
#include "node/pods/env_file.h"
#include "node/pods/labels.h"
#include "node/pods/pod_worker.h"

namespace keles::node {

using api::core_v1::Container;
using api::core_v1::LifecycleHandler;
using api::core_v1::Pod;
using cri::ContainerState;

namespace {

std::vector<std::string> texts(const List<std::string_view>& list) {
  std::vector<std::string> out;
  for (std::string_view s : list) out.emplace_back(s);
  return out;
}

}  // namespace

Task<Result<Environment>> PodWorker::environment(Context ctx, Container c) {
  std::string ns(pod_->metadata().namespace_());
  std::map<ObjectCache::Key, std::optional<ObjectCache::Data>> data;
  for (const ObjectCache::Key& key : referenced_objects(*pod_)) {
    bool used = false;
    for (auto e : c.env_from())
      used = used || (key.secret ? e.secret_ref().name() : e.config_map_ref().name()) == key.name;
    for (auto e : c.env()) {
      auto from = e.value_from();
      used = used || (key.secret ? from.secret_key_ref().name()
                                 : from.config_map_key_ref().name()) == key.name;
    }
    if (!used) continue;
    auto got = co_await s_.objects->get(ctx, key);
    if (!got.ok()) co_return got.status();
    data[key] = std::move(*got);
  }
  auto lookup = [&](bool secret, const std::string& name) -> std::optional<ObjectCache::Data> {
    auto it = data.find(ObjectCache::Key(secret, ns, name));
    return it == data.end() ? std::nullopt : it->second;
  };
  std::map<std::string, Result<std::string>> files;  // by "volume:path"
  for (auto e : c.env()) {
    auto from = e.value_from().file_key_ref();
    if (!from) continue;
    std::string volume(from.volume_name()), path(from.path());
    auto mounted = volumes_ ? volumes_->find(volume) : MountedVolumes::iterator();
    if (!volumes_ || mounted == volumes_->end()) {
      co_return Status(Reason::kInvalid,
                       "cannot find the volume \"" + volume + "\" referenced by FileKeyRef");
    }
    std::string place = mounted->second.path;
    auto text = co_await s_.host->read_in_volume(ctx, std::move(place), path, kMaxEnvFile);
    files.insert_or_assign(volume + ":" + path, std::move(text));
  }
  auto file = [&files](const std::string& volume, const std::string& path) {
    return files.at(volume + ":" + path);
  };
  bool links = !pod_->spec().has_enable_service_links() || pod_->spec().enable_service_links();
  co_return build_environment(*pod_, c, service_environment(s_.services(), ns, links), lookup,
                              facts(), file);
}

Task<Keyring> PodWorker::pull_secrets(Context ctx, Ref<Pod> pod) {
  Keyring out;
  for (auto ref : pod->spec().image_pull_secrets()) {
    ObjectCache::Key key(true, std::string(pod->metadata().namespace_()), std::string(ref.name()));
    auto got = co_await s_.objects->get(ctx, key);
    if (!got.ok() || !got->has_value()) continue;
    // A secret is known again by what it holds; its name stands for its uid.
    CredentialSource source{key.ns + "/" + key.name, key.ns, key.name};
    for (const char* field : {".dockerconfigjson", ".dockercfg"}) {
      auto it = (*got)->find(field);
      if (it != (*got)->end()) out.add(it->second, source);
    }
  }
  co_return out;
}

namespace {

Task<Result<AccountFacts>> facts_of(Context ctx, Client* client, std::string ns, std::string name) {
  using api::core_v1::ServiceAccount;
  auto got = co_await client->get(ctx, &kind_of<ServiceAccount>(), ns, name);
  if (!got.ok()) co_return got.status();
  const Ref<ServiceAccount> account = read<ServiceAccount>(*got);
  AccountFacts out;
  out.uid = account->metadata().uid();
  for (auto a : account->metadata().annotations())
    out.annotations.emplace(std::string(a.key), std::string(a.value));
  co_return out;
}

}  // namespace

PodAccount PodWorker::account(const Ref<Pod>& pod) const {
  PodAccount out;
  if (static_ || !s_.pod_token) return out;
  out.ns = pod->metadata().namespace_();
  out.name = pod->spec().service_account_name();
  out.token = [s = &s_, pod](Context ctx, std::string audience) {
    return s->pod_token(std::move(ctx), pod, std::move(audience));
  };
  out.facts = [s = &s_, ns = out.ns, name = out.name](Context ctx) {
    return facts_of(std::move(ctx), s->client, ns, name);
  };
  return out;
}

// The images that `c` mounts as volumes, pulled; an error is why it waits, and is said.
Task<Result<std::map<std::string, ImageVolume>>> PodWorker::image_volumes(Context ctx,
                                                                          std::string name,
                                                                          Ref<Pod> pod,
                                                                          Container c) {
  std::map<std::string, ImageVolume> out;
  for (auto v : pod->spec().volumes()) {
    if (!v.image()) continue;
    bool used = false;
    for (auto m : c.volume_mounts()) used = used || m.name() == v.name();
    if (!used) continue;
    Images::Request wanted;
    wanted.key = uid_;
    wanted.image = v.image().reference();
    wanted.policy = v.image().pull_policy();
    wanted.secrets = co_await pull_secrets(ctx, pod);
    wanted.account = account(pod);
    Images::Report report = [this, name](std::string type, std::string reason,
                                         std::string message) {
      event(name, std::move(type), std::move(reason), std::move(message));
    };
    auto outcome = co_await s_.images->ensure(ctx, std::move(wanted), std::move(report));
    if (ctx.done()) co_return ctx.status();
    if (!outcome.image) {
      waiting_[name] = outcome.waiting;
      const WallTime now = ctx.loop().wall_now();
      wake_at(outcome.retry_at.ns ? outcome.retry_at : now + 10s);
      if (outcome.waiting.reason != "ImagePullBackOff") wake_at(now + 1s);
      co_return Status::unavailable(outcome.waiting.reason);
    }
    out[std::string(v.name())] = {outcome.image->id, std::string(v.image().reference())};
  }
  co_return out;
}

Task<Status> PodWorker::start_container(Context ctx, PodPlan::Start start) {
  Ref<Pod> pod = allocated_;  // what `c` views; an update may replace it while we wait
  Container c = find_container(*pod, start.name).container;
  if (!c) co_return Status::internal("no such container: " + start.name);
  if (start.failed.ns != 0) {
    Backoff& delay = backoff_[backoff_key(start.name, container_hash(c))];
    delay.next(start.failed, ctx.loop().wall_now());
  }
  Images::Request wanted;
  wanted.key = uid_;
  wanted.image = c.image();
  wanted.policy = c.image_pull_policy();
  wanted.secrets = co_await pull_secrets(ctx, pod);
  wanted.account = account(pod);
  std::string name = start.name;
  Images::Report report = [this, name](std::string type, std::string reason, std::string message) {
    event(name, std::move(type), std::move(reason), std::move(message));
  };
  auto outcome = co_await s_.images->ensure(ctx, std::move(wanted), std::move(report));
  if (ctx.done()) co_return ctx.status();
  if (!outcome.image) {
    waiting_[start.name] = outcome.waiting;
    WallTime now = ctx.loop().wall_now();
    wake_at(outcome.retry_at.ns ? outcome.retry_at : now + 10s);
    // ErrImagePull is what happened, ImagePullBackOff what is going on from then.
    if (outcome.waiting.reason != "ImagePullBackOff") wake_at(now + 1s);
    co_return Status::unavailable(outcome.waiting.reason);
  }
  Status s = co_await create_and_start(ctx, start, c, *outcome.image);
  if (s.ok()) waiting_.erase(start.name);
  if (!s.ok() && !ctx.done()) wake_at(ctx.loop().wall_now() + 5s);
  co_await trim_dead(ctx, start.name);
  co_return s;
}

Task<Status> PodWorker::create_and_start(Context ctx, PodPlan::Start start, Container c,
                                         cri::Image image) {
  const auto kind =
      static_cast<node_metrics::ContainerKind>(find_container(*pod_, start.name).role);
  node_metrics::container_started(kind);
  auto fail = [&](const char* reason, const Status& s) {
    if (ctx.done()) return ctx.status();
    node_metrics::container_not_started(kind, reason);
    event(start.name, "Warning", "Failed", "Error: " + s.message());
    waiting_[start.name] = {reason, s.message()};
    return s;
  };
  const cri::Sandbox* sandbox = actual_.ready_sandbox();
  if (!sandbox) co_return Status::unavailable("the pod's sandbox is gone");
  std::string sandbox_id = sandbox->id;
  uint32_t sandbox_attempt = sandbox->attempt;
  ContainerInputs in;
  Ref<Pod> pod = allocated_;
  in.pod = &*pod;
  in.container = &c;
  in.attempt = start.attempt;
  in.image = std::move(image);
  in.node_memory_bytes = s_.memory_bytes;
  in.page_units = s_.page_units;
  in.seccomp_root = s_.seccomp_root;
  in.swap = s_.swap;
  auto images = co_await image_volumes(ctx, start.name, pod, c);
  if (!images.ok()) co_return images.status();
  in.image_volumes = std::move(*images);
  auto choice = co_await choose_runtime(ctx);
  if (!choice.ok()) co_return fail("CreateContainerConfigError", choice.status());
  in.recursive_read_only = choice->features.recursive_read_only_mounts;
  in.user_ids = choice->user_ids;
  bool mounted = volumes_.has_value();
  for (auto m : c.volume_mounts()) mounted = mounted && volumes_->contains(std::string(m.name()));
  for (auto d : c.volume_devices()) mounted = mounted && volumes_->contains(std::string(d.name()));
  if (!mounted) {
    Status s = co_await prepare(ctx);
    if (!s.ok()) co_return s;
  }
  auto env = co_await environment(ctx, c);
  if (!env.ok()) co_return fail("CreateContainerConfigError", env.status());
  in.environment = std::move(*env);
  in.volumes = *volumes_;
  auto target = target_container(start.name);
  if (!target.ok()) co_return fail("CreateContainerConfigError", target.status());
  in.target_id = std::move(*target);
  DnsDefaults dns = co_await s_.dns(ctx);
  ContainerFiles files;
  files.cluster_domain = dns.cluster_domain;
  files.pod_ips = actual_.pod_ips(s_.host_ip);
  files.new_hosts = hosts_sandbox_ != sandbox_id;
  auto config = co_await s_.host->make_container(ctx, std::move(files), in);
  if (!config.ok()) co_return fail("CreateContainerConfigError", config.status());
  if (s_.managers) {
    auto extras = co_await s_.managers->extras(ctx, pod, c);
    if (!extras.ok()) co_return fail("CreateContainerConfigError", extras.status());
    apply(*extras, *config);
  }
  hosts_sandbox_ = sandbox_id;
  auto sandbox_config = make_sandbox_config(*pod, sandbox_attempt, s_.logs_directory,
                                            s_.host->cgroup_parent(qos_of(*pod), uid_), dns);
  if (!sandbox_config.ok()) co_return fail("CreateContainerConfigError", sandbox_config.status());
  sandbox_config->namespaces.user_ids = choice->user_ids;
  auto id = co_await s_.runtime->create_container(ctx, sandbox_id, std::move(*config),
                                                  std::move(*sandbox_config));
  if (!id.ok()) co_return fail("CreateContainerError", id.status());
  s_.register_id(*id, uid_);
  actual_resources_[*id] = resource_texts(c.resources());
  event(start.name, "Normal", "Created", "Created container: " + start.name);
  // A start under way is not broken off by the pod's deletion: the runtime would call it a failure
  // of the container (StartError).
  Status s = co_await s_.runtime->start_container(ctx_, *id);
  if (!s.ok()) {
    (void)co_await refresh(ctx);
    co_return fail("RunContainerError", s);
  }
  event(start.name, "Normal", "Started", "Started container " + start.name);
  auto hook = c.lifecycle().post_start();
  if (hook) {
    s = co_await run_hook(ctx, c, hook, *id);
    if (!s.ok() && !ctx.done()) {
      event(start.name, "Warning", "FailedPostStartHook", "PostStartHook failed");
      co_await kill(ctx, *id, start.name, "FailedPostStartHook", grace_seconds());
      waiting_[start.name] = {"PostStartHookError", s.message()};
      co_return s;
    }
  }
  co_return Status();
}

// The id of the container that an ephemeral one names as its target; "" when it names none.
Result<std::string> PodWorker::target_container(std::string_view name) const {
  std::string target;
  for (auto e : pod_->spec().ephemeral_containers())
    if (e.name() == name) target = e.target_container_name();
  if (target.empty()) return target;
  const cri::Container* found = actual_.latest(target);
  if (!found) return Status(Reason::kNotFound, "unable to find target container " + target);
  return found->id;
}

// Dead containers of a name beyond the last: it is what lastState and `logs --previous` show.
Task<void> PodWorker::trim_dead(Context ctx, std::string name) {
  int kept = 0;
  std::vector<std::string> old;
  for (const cri::Container& c : actual_.containers)
    if (c.name == name && c.state == ContainerState::kExited && ++kept > 1) old.push_back(c.id);
  for (const std::string& id : old) {
    std::string log = known_[id].log_path;
    Status s = co_await s_.runtime->remove_container(ctx, id);
    if (!s.ok()) continue;
    if (!log.empty()) (void)co_await s_.host->remove_log(ctx, std::move(log));
    known_.erase(id);
    messages_.erase(id);
  }
}

Task<void> PodWorker::drop_dead(Context ctx) {
  // As the API has it: what it does not know to have ended would be started again.
  std::string_view phase = pod_->status().phase();
  if (deleting() || (phase != "Succeeded" && phase != "Failed")) co_return;
  std::vector<std::string> dead;
  for (const cri::Container& c : actual_.containers)
    if (c.state == ContainerState::kExited) dead.push_back(c.id);
  for (const std::string& id : dead) {
    Status s = co_await s_.runtime->remove_container(ctx, id);
    if (!s.ok()) continue;
    std::string log = known_[id].log_path;
    if (!log.empty()) (void)co_await s_.host->remove_log(ctx, std::move(log));
    known_.erase(id);
    messages_.erase(id);
  }
  wake();
}

// Sandboxes before the newest go with the last container that they hold.
Task<void> PodWorker::trim_sandboxes(Context ctx) {
  std::vector<std::string> empty;
  for (size_t i = 1; i < actual_.sandboxes.size(); ++i) {
    const cri::Sandbox& s = actual_.sandboxes[i];
    bool holds = s.state == cri::SandboxState::kReady;
    for (const cri::Container& c : actual_.containers) holds = holds || c.sandbox_id == s.id;
    if (!holds) empty.push_back(s.id);
  }
  for (const std::string& id : empty) {
    (void)co_await s_.runtime->remove_sandbox(ctx, id);
    known_sandboxes_.erase(id);
  }
}

Task<Status> PodWorker::run_hook(Context ctx, Container c, LifecycleHandler hook,
                                 std::string container_id) {
  if (hook.exec()) {
    std::vector<std::string> command = texts(hook.exec().command());
    auto r = co_await s_.runtime->exec_sync(ctx, container_id, std::move(command), 0);
    if (!r.ok()) co_return r.status();
    if (r->exit_code != 0)
      co_return Status(Reason::kUnknown, "command exited with " + std::to_string(r->exit_code) +
                                             ": " + r->out + r->err);
    co_return Status();
  }
  if (hook.sleep()) {
    Duration d = std::chrono::seconds(hook.sleep().seconds());
    co_return co_await ctx.sleep(d);
  }
  Document probe_tree;
  api::core_v1::ProbeEdit probe(EditTarget{&probe_tree.root, &probe_tree.arena});
  if (hook.http_get()) probe.set_http_get(hook.http_get());
  if (hook.tcp_socket()) probe.set_tcp_socket(hook.tcp_socket());
  std::string ip = pod_->spec().host_network() ? s_.host_ip : actual_.pod_ip();
  ProbeOutcome o = co_await run_probe(ctx, probe, c, container_id, ip, s_.runtime);
  if (o.success || o.answered) co_return Status();  // a hook's status code says nothing
  co_return Status(Reason::kUnknown, o.output);
}

Task<void> PodWorker::kill(Context ctx, std::string id, std::string name, std::string message,
                           int64_t grace) {
  const bool anew = stopping_ && !told_to_end_.insert(id).second;
  if (!anew)
    event(name, "Normal", "Killing", message.empty() ? "Stopping container " + name : message);
  TimePoint began = ctx.loop().now();
  Ref<Pod> pod = pod_;  // what `c` and `hook` view
  Container c = container(name);
  auto hook = c.lifecycle().pre_stop();
  if (hook && grace > 0 && !anew) {
    Status s = co_await run_hook(ctx.with_timeout(std::chrono::seconds(grace)), c, hook, id);
    if (!s.ok() && !ctx.done()) event(name, "Warning", "FailedPreStopHook", "PreStopHook failed");
    int64_t used = (ctx.loop().now() - began).count() / 1'000'000'000;
    grace = std::max<int64_t>(grace - used, 2);
  }
  Status s = co_await s_.runtime->stop_container(ctx, id, grace);
  if (!s.ok() && !s.is(Reason::kNotFound) && !ctx.done())
    log::warn("Cannot stop a container", {{"pod", key_}, {"container", name}, {"error", s}});
}

Task<void> PodWorker::kill_task(Context ctx, std::string id, std::string name, int64_t grace) {
  co_await kill(ctx, std::move(id), std::move(name), "", grace);
}

Task<void> PodWorker::stop_sandbox(Context ctx, std::string id) {
  TaskGroup killing(ctx.loop());
  for (const cri::Container& c : actual_.containers)
    if (c.sandbox_id == id && c.state == ContainerState::kRunning)
      killing.spawn(kill_task(ctx, c.id, c.name, grace_seconds()));
  co_await killing.join();
  Status s = co_await s_.runtime->stop_sandbox(ctx, id);
  if (!s.ok() && !s.is(Reason::kNotFound) && !ctx.done())
    log::warn("Cannot stop a sandbox", {{"pod", key_}, {"sandbox", id}, {"error", s}});
  known_sandboxes_.erase(id);
}

// Main containers together, then sidecars in the reverse of their order, then the sandboxes.
Task<void> PodWorker::stop_everything(Context ctx, int64_t grace) {
  TimePoint began = ctx.loop().now();
  auto left = [&] {
    int64_t used = (ctx.loop().now() - began).count() / 1'000'000'000;
    return grace == 0 ? 0 : std::max<int64_t>(grace - used, 2);
  };
  std::vector<cri::Container> sidecars;
  TaskGroup killing(ctx.loop());
  for (const cri::Container& c : actual_.containers) {
    if (c.state != ContainerState::kRunning) continue;
    Role role = Role::kMain;
    Container spec = container(c.name, &role);
    if (role == Role::kInit && is_sidecar(spec)) {
      sidecars.push_back(c);
    } else {
      killing.spawn(kill_task(ctx, c.id, c.name, grace));
    }
  }
  co_await killing.join();
  auto order = [this](const cri::Container& c) {
    int i = 0;
    for (Container spec : pod_->spec().init_containers()) {
      if (spec.name() == c.name) return i;
      ++i;
    }
    return i;
  };
  std::sort(sidecars.begin(), sidecars.end(),
            [&](const auto& a, const auto& b) { return order(a) > order(b); });
  for (const cri::Container& c : sidecars) co_await kill(ctx, c.id, c.name, "", left());
  std::vector<cri::Sandbox> sandboxes = actual_.sandboxes;  // others may look meanwhile
  for (const cri::Sandbox& s : sandboxes) {
    Status stopped = co_await s_.runtime->stop_sandbox(ctx, s.id);
    if (!stopped.ok() && !stopped.is(Reason::kNotFound) && !ctx.done())
      log::warn("Cannot stop a sandbox", {{"pod", key_}, {"error", stopped}});
  }
}

// A pod that ends goes on to be looked at: readiness is probed to the last, and what has stopped is
// told at once.
Task<void> PodWorker::report_while_ending(Context ctx) {
  while (!ctx.done()) {
    wake_.reset();
    next_wake_ = ctx.loop().wall_now() + kResync;
    Status s = co_await refresh(ctx);
    if (ctx.done()) co_return;
    if (s.ok()) {
      update_probes();
      publish();
    } else {
      wake_at(ctx.loop().wall_now() + 1s);
    }
    Duration rest = *next_wake_ - ctx.loop().wall_now();
    if (rest.count() > 0) (void)co_await wake_.wait(ctx.with_timeout(rest));
  }
}

Task<void> PodWorker::terminate(Context ctx) {
  Duration pause = 100ms;
  while (!ctx.done()) {
    Status s = co_await refresh(ctx);
    if (s.ok()) break;
    (void)co_await ctx.sleep(pause);
    pause = std::min<Duration>(pause * 2, 10s);
  }
  TaskGroup reporting(ctx.loop());
  Context watch = ctx.child();
  if (!actual_.sandboxes.empty()) reporting.spawn(report_while_ending(watch));
  co_await stop_within_grace(ctx);
  watch.cancel();
  co_await reporting.join();
  s_.probes->stop(uid_);
  if (ctx.done()) co_return;
  known_sandboxes_.clear();
  pause = 100ms;
  for (bool running = true; running && !ctx.done();) {
    Status s = co_await refresh(ctx);
    running = !s.ok();
    for (const cri::Container& c : actual_.containers)
      running = running || c.state == ContainerState::kRunning;
    if (!running) break;
    (void)co_await ctx.sleep(pause);
    pause = std::min<Duration>(pause * 2, 5s);
    co_await stop_everything(ctx, 0);
  }
  for (bool released = false; !released && !ctx.done();) {
    released = co_await release_claims(ctx);
    if (!released) (void)co_await ctx.sleep(claims_pause_);
  }
  if (ctx.done()) co_return;
  publish(true);
  s_.objects->use(uid_, {});
  s_.images->forget(uid_);
  co_await await_sent(ctx);  // controllers read how it ended
  co_await release_volumes(ctx);
  co_await delete_object(ctx);
  co_await remove_from_runtime(ctx);
}

// The object goes after its volumes: without it their claims are free, and a volume could be
// deleted while it is mounted here.
Task<void> PodWorker::release_volumes(Context ctx) {
  Duration pause = 100ms;
  Recurring failing;
  while (!ctx.done()) {
    Status s = co_await s_.host->remove_volumes(ctx, uid_);
    if (s.ok()) co_return;
    if (!ctx.done() && failing.news(ctx.loop().now(), s.message()))
      log::warn("Cannot take the pod's volumes down", {{"pod", key_}, {"error", s}});
    (void)co_await ctx.sleep(pause);
    pause = std::min<Duration>(pause * 2, 10s);
  }
}

Task<void> PodWorker::delete_object(Context ctx) {
  DeleteOptions options;
  options.grace_period_seconds = 0;
  options.uid = uid_;
  Duration pause = 100ms;
  while (!removed_ && !ctx.done()) {
    std::string ns(pod_->metadata().namespace_()), name(pod_->metadata().name());
    auto r = co_await s_.client->remove(ctx.with_timeout(30s), &kind_of<Pod>(), ns, name, options);
    // Another pod of the same name, or none: ours is gone.
    if (r.ok() || r.status().is(Reason::kNotFound) || r.status().is(Reason::kConflict)) co_return;
    log::warn("Cannot delete the pod's object", {{"pod", key_}, {"error", r.status()}});
    (void)co_await ctx.sleep(pause);
    pause = std::min<Duration>(pause * 2, 10s);
  }
}

Task<void> PodWorker::remove_from_runtime(Context ctx) {
  Duration pause = 100ms;
  for (int attempt = 0; attempt < 10 && !ctx.done(); ++attempt) {
    Status worst;
    for (const cri::Container& c : actual_.containers) {
      Status s = co_await s_.runtime->remove_container(ctx, c.id);
      if (!s.ok() && !s.is(Reason::kNotFound)) worst = s;
    }
    for (const cri::Sandbox& sandbox : actual_.sandboxes) {
      Status s = co_await s_.runtime->remove_sandbox(ctx, sandbox.id);
      if (!s.ok() && !s.is(Reason::kNotFound)) worst = s;
    }
    Status s = co_await s_.host->remove_cgroup(ctx, uid_);
    if (!s.ok()) worst = s;
    s = co_await s_.host->remove_logs(ctx, pod_);
    if (!s.ok()) worst = s;
    if (worst.ok()) co_return;
    if (attempt > 2) log::warn("Cannot clean up after the pod", {{"pod", key_}, {"error", worst}});
    (void)co_await ctx.sleep(pause);
    pause = std::min<Duration>(pause * 2, 10s);
  }
}

}  // namespace keles::node
