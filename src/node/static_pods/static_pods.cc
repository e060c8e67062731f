#include "node/static_pods/static_pods.h"

#include <sys/stat.h>

#include <algorithm>

#include "base/ascii.h"
#include "base/encoding.h"
#include "base/file.h"
#include "base/log.h"
#include "machinery/codec_json.h"
#include "machinery/codec_yaml.h"
#include "machinery/decode.h"
#include "machinery/time.h"
#include "net/http.h"
#include "net/pki.h"
#include "node/pods/containers.h"
#include "node/probes/url.h"

namespace keles::node {

using api::core_v1::Container;
using api::core_v1::Pod;
using api::core_v1::PodEdit;

namespace {

constexpr size_t kMaxManifest = 10u << 20, kMaxPods = 500;
constexpr Duration kAnswer = 10s;

Status invalid(const std::string& why) { return Status(Reason::kInvalid, why); }

// What the API's validation would say of one that could not run here at all.
Status check_static(const Pod& pod) {
  if (pod.metadata().name().empty()) return invalid("metadata.name: Required value");
  if (pod.spec().containers().empty()) return invalid("spec.containers: Required value");
  if (!pod.spec().resource_claims().empty())
    return invalid("static pods may not use ResourceClaims");
  if (!pod.spec().ephemeral_containers().empty())
    return invalid("spec.ephemeralContainers: Forbidden: cannot be set on create");
  for (auto v : pod.spec().volumes())
    for (auto s : v.projected().sources())
      if (s.cluster_trust_bundle())
        return invalid("static pods may not use ClusterTrustBundle projected volume sources");
  std::set<std::string, std::less<>> names;
  Status worst;
  for_each_container(pod, [&](const Container& c, Role) {
    if (c.name().empty()) worst = invalid("spec.containers.name: Required value");
    if (c.image().empty()) worst = invalid("spec.containers.image: Required value");
    if (!names.insert(std::string(c.name())).second)
      worst = invalid("spec.containers.name: Duplicate value: " + quoted(c.name()));
  });
  return worst;
}

Result<Ref<Pod>> finish(Document doc, const std::string& source, bool from_file,
                        const std::string& node_name) {
  TRY(decode_object(kind_of<Pod>(), doc, FieldValidation::kIgnore));
  apply_defaults(kind_of<Pod>(), doc);
  PodEdit pod(EditTarget{&doc.root, &doc.arena});
  pod.clear_status();
  TRY(check_static(pod));
  auto meta = pod.edit_metadata();
  if (meta.uid().empty()) {
    std::string all;
    write_json(all, doc.root);
    all += from_file ? "host:" + node_name + "file:" + source : "url:" + source;
    meta.set_uid(net::hex(net::sha256(all)).substr(0, 32));
  }
  meta.set_name(std::string(meta.name()) + "-" + ascii_lower(node_name));
  if (meta.namespace_().empty()) meta.set_namespace_("default");
  meta.edit_annotations().set(kConfigHash, meta.uid());
  meta.edit_annotations().set(kConfigSource, from_file ? "file" : "http");
  auto spec = pod.edit_spec();
  spec.set_node_name(node_name);
  if (from_file) {  // it stays whatever becomes of the node
    auto t = spec.edit_tolerations().add();
    t.set_operator_("Exists");
    t.set_effect("NoExecute");
  }
  return Ref<Pod>(std::make_shared<const Document>(std::move(doc)));
}

struct Manifest {
  std::string path, text;
};

// The files of a directory, or the one file; those that cannot be read are left out. Blocking.
std::vector<Manifest> read_manifests(const std::string& path) {
  std::vector<std::string> paths{path};
  struct stat st {};
  if (stat(path.c_str(), &st) != 0) return {};
  if (S_ISDIR(st.st_mode)) {
    paths.clear();
    auto names = list_directory(path);
    for (size_t i = 0; names.ok() && i < names->size(); ++i)
      if (!(*names)[i].starts_with('.')) paths.push_back(path + "/" + (*names)[i]);
  }
  std::vector<Manifest> out;
  for (const std::string& p : paths) {
    if (stat(p.c_str(), &st) != 0 || !S_ISREG(st.st_mode) || out.size() >= kMaxPods) continue;
    auto text = read_file(p, kMaxManifest);
    if (!text.ok()) {
      log::warn("Cannot read a static pod", {{"file", p}, {"error", text.status()}});
      continue;
    }
    out.push_back({p, std::move(*text)});
  }
  return out;
}

}  // namespace

bool is_mirror(const Pod& pod) { return pod.metadata().annotations().contains(kConfigMirror); }

bool is_static(const Pod& pod) {
  std::string_view source = pod.metadata().annotations().get(kConfigSource);
  return !source.empty() && source != "api";
}

Result<std::vector<Ref<Pod>>> parse_static_pods(std::string_view text, const std::string& source,
                                                bool from_file, const std::string& node_name) {
  if (text.size() > kMaxManifest) return invalid("the manifest is larger than 10 MiB");
  TRY_ASSIGN(doc, parse_yaml(text));
  std::vector<Ref<Pod>> out;
  std::string_view kind = doc.root["kind"].as_string();
  if (from_file || (kind != "PodList" && kind != "List")) {
    if (kind != "Pod") return invalid("invalid pod: its kind is " + quoted(kind));
    TRY_ASSIGN(pod, finish(std::move(doc), source, from_file, node_name));
    out.push_back(pod);
    return out;
  }
  auto items = doc.root["items"].items();
  if (items.size() > kMaxPods) return invalid("the list has more than 500 pods");
  for (const Value& item : items) {
    Document one;
    one.root = deep_copy(one.arena, item);
    TRY_ASSIGN(pod, finish(std::move(one), source, from_file, node_name));
    out.push_back(pod);
  }
  return out;
}

Document mirror_of(const Pod& pod, std::string_view node_name, std::string_view node_uid) {
  Document out;
  out.root = deep_copy(out.arena, pod.value());
  PodEdit edit(EditTarget{&out.root, &out.arena});
  edit.clear_status();
  auto meta = edit.edit_metadata();
  std::string hash(meta.annotations().get(kConfigHash));
  meta.clear_uid();
  meta.edit_annotations().set(kConfigMirror, hash);
  auto owner = meta.edit_owner_references().add();
  owner.set_api_version("v1");
  owner.set_kind("Node");
  owner.set_name(node_name);
  owner.set_uid(node_uid);
  owner.set_controller(true);
  return out;
}

Task<void> StaticPods::run(Context ctx) {
  TimePoint next{};
  Duration period = 1h;  // without sources there are mirrors to remove, of an earlier agent
  if (!options_.path.empty()) period = std::min(period, options_.file_period);
  if (!options_.url.empty()) period = std::min(period, options_.url_period);
  bool known = false;
  while (!ctx.done()) {
    poke_.reset();
    if (ctx.loop().now() >= next) {
      bool all = co_await read(ctx);
      known = known || all;
      next = ctx.loop().now() + period;
    }
    start_and_stop();
    if (known) known_.set();
    bool settled = true;
    if (known) settled = co_await reconcile_mirrors(ctx);
    Duration rest = next - ctx.loop().now();
    if (!settled) rest = std::min<Duration>(rest, 1s);
    if (rest.count() > 0) (void)co_await poke_.wait(ctx.with_timeout(rest));
  }
}

// False: a source could not be read, and what it said before holds on.
Task<bool> StaticPods::read(Context ctx) {
  std::map<std::string, Ref<Pod>> wanted;
  if (!options_.path.empty()) {
    std::function<std::vector<Manifest>()> work = [path = options_.path] {
      return read_manifests(path);
    };
    std::vector<Manifest> files = co_await run_blocking(&ctx.loop(), std::move(work));
    for (const Manifest& m : files) {
      auto pods = parse_static_pods(m.text, m.path, true, options_.node_name);
      if (!pods.ok()) {
        log::warn("Cannot take a static pod", {{"file", m.path}, {"error", pods.status()}});
        continue;
      }
      for (const Ref<Pod>& p : *pods) wanted[std::string(p->metadata().uid())] = p;
    }
  }
  bool all = true;
  if (!options_.url.empty()) {
    auto pods = co_await read_url(ctx);
    all = pods.ok();
    if (pods.ok()) from_url_ = std::move(*pods);
    if (!all && !ctx.done())
      log::warn("Cannot read static pods", {{"url", options_.url}, {"error", pods.status()}});
    for (const Ref<Pod>& p : from_url_) wanted[std::string(p->metadata().uid())] = p;
  }
  wanted_ = std::move(wanted);
  co_return all;
}

Task<Result<std::vector<Ref<Pod>>>> StaticPods::read_url(Context ctx) {
  HttpUrl base;
  auto url = resolve_url(base, options_.url);
  if (!url) co_return Status::bad_request("it is no http or https URL");
  net::Endpoint endpoint;
  endpoint.host = url->host;
  endpoint.port = url->port;
  if (url->tls) endpoint.tls.emplace();
  net::Request request("GET", url->path, url->query);
  request.headers.set("Host", url->authority());
  for (const auto& [name, value] : options_.url_headers) request.headers.add(name, value);
  auto client = net::HttpClient::create(ctx.loop(), endpoint);
  Context brief = ctx.with_timeout(kAnswer);
  auto answer = co_await client->send(brief, std::move(request));
  if (!answer.ok()) co_return answer.status();
  if (answer->status != 200)
    co_return Status::unavailable("the answer was " + std::to_string(answer->status));
  if (answer->body.empty()) co_return Status::bad_request("zero-length data received");
  co_return parse_static_pods(answer->body, options_.url, false, options_.node_name);
}

// A pod that was changed begins when the one of before has ended.
void StaticPods::start_and_stop() {
  for (auto it = running_.begin(); it != running_.end();) {
    if (wanted_.contains(*it)) {
      ++it;
      continue;
    }
    host_.static_pod_removed(*it);
    it = running_.erase(it);
  }
  for (const auto& [uid, pod] : wanted_) {
    auto meta = pod->metadata();
    if (running_.contains(uid) || host_.has_pod(meta.namespace_(), meta.name())) continue;
    running_.insert(uid);
    host_.static_pod_added(pod);
  }
}

Task<Status> StaticPods::remove_mirror(Context ctx, Ref<Pod> mirror) {
  DeleteOptions options;
  options.grace_period_seconds = 0;
  options.uid = std::string(mirror->metadata().uid());
  std::string ns(mirror->metadata().namespace_()), name(mirror->metadata().name());
  auto r = co_await client_.remove(ctx.with_timeout(30s), &kind_of<Pod>(), ns, name, options);
  bool gone = r.ok() || r.status().is(Reason::kNotFound) || r.status().is(Reason::kConflict);
  co_return gone ? Status() : r.status();
}

// False: it is to be tried again soon.
Task<bool> StaticPods::reconcile_mirrors(Context ctx) {
  const std::string node = host_.node_uid();
  if (node.empty()) co_return false;
  bool settled = true;
  std::vector<Ref<Pod>> wanted;
  for (const auto& [uid, pod] : wanted_)
    if (running_.contains(uid)) wanted.push_back(pod);
  for (const Ref<Pod>& pod : wanted) {
    auto meta = pod->metadata();
    Ref<Pod> mirror = host_.mirror(meta.namespace_(), meta.name());
    bool same = mirror && mirror->metadata().annotations().get(kConfigMirror) ==
                              meta.annotations().get(kConfigHash);
    if (same && mirror->metadata().deletion_timestamp().empty()) continue;
    Status s;
    if (mirror) {
      s = co_await remove_mirror(ctx, mirror);
    } else {
      WriteOptions options;
      Document body = mirror_of(*pod, options_.node_name, node);
      std::string ns(meta.namespace_());
      auto made = co_await client_.create(ctx.with_timeout(30s), &kind_of<Pod>(), ns, "",
                                          std::move(body), options);
      if (!made.status().is(Reason::kAlreadyExists)) s = made.status();
    }
    settled = false;  // the next look sees what became of it
    if (!s.ok() && !ctx.done())
      log::warn("Cannot show a static pod in the API", {{"pod", meta.name()}, {"error", s}});
  }
  std::vector<Ref<Pod>> mirrors = host_.mirrors();
  for (const Ref<Pod>& mirror : mirrors) {
    auto meta = mirror->metadata();
    if (host_.has_pod(meta.namespace_(), meta.name())) continue;
    Status s = co_await remove_mirror(ctx, mirror);
    if (!s.ok()) settled = false;
  }
  co_return settled;
}

}  // namespace keles::node
