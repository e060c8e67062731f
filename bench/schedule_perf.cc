// schedule_perf FOLDER [CASE]: upstream's scheduler_perf workloads (performance-config.yaml and
// templates below FOLDER) against a `keles server` of its own, one server a workload; of CASE those
// whose TestCase/Workload contains it. Prints pods per second in the measured part beside
// upstream's threshold, and the server's CPU for each.
//
// As upstream's runner does: no controllers and no kubelets, without the admission plugins
// ServiceAccount, TaintNodesByCondition and Priority.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "base/sync.h"
#include "bench/bench_server.h"
#include "bench/perf_case.h"
#include "machinery/codec_json.h"

namespace keles::bench {
namespace {

constexpr int kConnections = 8, kAtOnce = 8;  // requests under way on each connection
constexpr Duration kPatience = 300s;          // for a barrier

// Where objects of a kind live.
std::string path_of(const Value& object, const std::string& ns) {
  const std::string kind(object["kind"].as_string());
  static const std::map<std::string, std::pair<std::string, bool>> kinds = {
      {"Pod", {"/api/v1|pods", true}},
      {"Node", {"/api/v1|nodes", false}},
      {"Namespace", {"/api/v1|namespaces", false}},
      {"Service", {"/api/v1|services", true}},
      {"Secret", {"/api/v1|secrets", true}},
      {"PersistentVolume", {"/api/v1|persistentvolumes", false}},
      {"PersistentVolumeClaim", {"/api/v1|persistentvolumeclaims", true}},
      {"CSINode", {"/apis/storage.k8s.io/v1|csinodes", false}},
      {"ResourceClaim", {"/apis/resource.k8s.io/v1|resourceclaims", true}},
      {"DeviceClass", {"/apis/resource.k8s.io/v1|deviceclasses", false}},
      {"ResourceClaimTemplate", {"/apis/resource.k8s.io/v1|resourceclaimtemplates", true}},
      {"ResourceSlice", {"/apis/resource.k8s.io/v1|resourceslices", false}},
  };
  auto at = kinds.find(kind);
  if (at == kinds.end()) {
    fprintf(stderr, "schedule_perf: kind \"%s\" is not known\n", kind.c_str());
    exit(1);
  }
  const std::string& where = at->second.first;
  const size_t bar = where.find('|');
  std::string out = where.substr(0, bar);
  if (at->second.second) out += "/namespaces/" + ns;
  return out + "/" + where.substr(bar + 1);
}

class Run {
 public:
  Run(const PerfCase& c, BenchServer& server, RealLoop& loop)
      : case_(c),
        server_(server),
        loop_(loop),
        ctx_(Context::root(loop).child()),
        clients_(server.connect(loop, kConnections)),
        background_(loop) {}

  Task<void> everything() {
    background_.spawn(watch_bound());
    while (!watching_) (void)co_await ctx_.sleep(1ms);
    int index = 0;
    for (const Value& op : case_.operations().items()) {
      co_await execute(&op, index++);
      if (!error_.empty()) break;
    }
    if (measuring_) stop_measuring();
    ctx_.cancel();
    co_await background_.join();
    print();
  }

 private:
  struct Reply {
    int status = 0;
    std::string body;
  };
  Task<Reply> ask(HttpsClient* client, std::string method, std::string path, std::string query,
                  std::string body) {
    net::Headers headers;
    headers.add("Accept", "application/json");
    if (!body.empty()) headers.add("Content-Type", "application/json");
    Reply out;
    auto r = co_await client->raw(ctx_, method, path, query, std::move(headers), std::move(body));
    if (r.ok()) {
      out.status = r->status;
      out.body = std::move(r->body);
    } else {
      out.body = r.status().to_string();
    }
    co_return out;
  }
  HttpsClient* any() { return clients_[next_client_++ % clients_.size()].get(); }
  // `allowed`: a status of failure that is none.
  Task<Reply> must(std::string method, std::string path, std::string body, int allowed = 0) {
    std::string none;
    Reply r = co_await ask(any(), method, path, none, std::move(body));
    const bool ok = (r.status >= 200 && r.status < 300) || r.status == allowed;
    if (!ok && error_.empty() && !ctx_.done())
      error_ = method + " " + path + ": " + std::to_string(r.status) + " " + r.body.substr(0, 400);
    co_return r;
  }

  // A pod comes into this selection in the moment that it is bound.
  Task<void> watch_bound() {
    net::Headers headers;
    headers.add("Accept", "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1");
    std::string none;
    auto watcher = server_.connect(loop_, 1);
    auto stream = co_await watcher[0]->raw_stream(
        ctx_, "GET", "/api/v1/pods", "watch=true&fieldSelector=spec.nodeName!%3D", headers, none);
    watching_ = true;
    if (!stream.ok() || (*stream)->status() != 200) {
      error_ = "the watch of pods is refused";
      co_return;
    }
    std::string rest;
    for (;;) {
      auto piece = co_await (*stream)->read(ctx_);
      if (!piece.ok() || piece->empty()) break;
      rest += *piece;
      size_t from = 0;
      for (size_t end; (end = rest.find('\n', from)) != std::string::npos; from = end + 1)
        note(std::string_view(rest).substr(from, end - from));
      rest.erase(0, from);
    }
  }
  void note(std::string_view line) {
    if (!line.starts_with("{\"type\":\"ADDED\"")) return;
    static constexpr std::string_view kNs = "\"namespace\":\"";
    size_t at = line.find(kNs);
    if (at == line.npos) return;
    at += kNs.size();
    std::string ns(line.substr(at, line.find('"', at) - at));
    ++bound_[ns];
    if (!measuring_ || !measured_.contains(ns)) return;
    if (!measured_label_.empty() && line.find(measured_label_) == line.npos) return;
    ++measured_pods_;
    last_bound_ = loop_.now();
  }

  void start_measuring(std::set<std::string> namespaces, const Value& selector) {
    measuring_ = true;
    measured_ = std::move(namespaces);
    measured_label_.clear();
    for (const Member& m : selector.members())
      measured_label_ =
          "\"" + std::string(m.key()) + "\":\"" + std::string(m.value.as_string()) + "\"";
    began_ = last_bound_ = loop_.now();
    cpu_ = server_.cpu_seconds();
  }
  void stop_measuring() {
    measuring_ = false;
    cpu_ = server_.cpu_seconds() - cpu_;
  }

  Task<void> execute(const Value* op_at, int index) {
    const Value& op = *op_at;
    const std::string_view code = op["opcode"].as_string();
    if (code == "createNodes") {
      co_await create_nodes(op_at);
    } else if (code == "createNamespaces") {
      co_await create_namespaces(op_at);
    } else if (code == "createPods") {
      std::string ns(op["namespace"].as_string());
      if (ns.empty()) ns = "namespace-" + std::to_string(index);
      co_await create_pods(op_at, ns);
    } else if (code == "createPodSets") {
      const int64_t n = case_.count(op);
      for (int64_t i = 0; i < n; ++i) {
        std::string ns = std::string(op["namespacePrefix"].as_string()) + "-" + std::to_string(i);
        co_await create_pods(&op["createPodsOp"], ns);
      }
    } else if (code == "createResourceDriver") {
      co_await create_driver(op_at);
    } else if (code == "createAny" || code == "updateAny") {
      co_await create_or_update(op_at, code == "updateAny");
    } else if (code == "churn") {
      std::string ns(op["namespace"].as_string());
      if (ns.empty()) ns = "namespace-" + std::to_string(index);
      co_await make_namespace(ns, "");
      background_.spawn(churn(op_at, ns));
    } else if (code == "deletePods") {
      if (op["skipWaitToCompletion"].as_bool()) {
        background_.spawn(delete_pods(op_at));
      } else {
        co_await delete_pods(op_at);
      }
    } else if (code == "barrier") {
      co_await barrier(op_at);
    } else if (code == "startCollectingMetrics") {
      std::set<std::string> namespaces;
      for (const Value& n : op["namespaces"].items()) namespaces.emplace(n.as_string());
      start_measuring(std::move(namespaces), op["labelSelector"]);
    } else if (code == "stopCollectingMetrics") {
      stop_measuring();
    } else {
      error_ = "opcode \"" + std::string(code) + "\" is not known";
    }
  }

  // --- many of one kind, several at once ---
  struct Many {
    int64_t next = 0, count = 0;
    std::function<std::string(int64_t)> body;
    std::string path;
  };
  Task<void> post_some(Many* m, HttpsClient* client) {
    while (m->next < m->count && error_.empty()) {
      std::string body = m->body(m->next++);
      std::string none;
      Reply r = co_await ask(client, "POST", m->path, none, std::move(body));
      if (r.status != 201 && error_.empty())
        error_ = "POST " + m->path + ": " + std::to_string(r.status) + " " + r.body.substr(0, 400);
    }
  }
  Task<void> post_many(Many* m) {
    TaskGroup group(loop_);
    for (auto& client : clients_)
      for (int k = 0; k < kAtOnce; ++k) group.spawn(post_some(m, client.get()));
    co_await group.join();
  }
  // The JSON of the i-th of `count`; the same for all where the template names no index.
  static std::function<std::string(int64_t)> bodies(std::string text, int64_t count) {
    if (text.find("{{") == std::string::npos) {
      Document d = parse_object(text);
      return [json = to_json(d.root)](int64_t) { return json; };
    }
    return [text = std::move(text), count](int64_t i) {
      Document d = parse_object(render(text, i, count));
      return to_json(d.root);
    };
  }

  Task<void> create_nodes(const Value* op) {
    std::string text = case_.text(*op, "nodeTemplatePath");
    if (text.empty()) {
      text =
          "apiVersion: v1\nkind: Node\nmetadata: {generateName: scheduler-perf-}\n"
          "status: {capacity: {pods: '110', cpu: '4', memory: 32Gi}, phase: Running, "
          "conditions: [{status: 'True', type: Ready}]}";
    }
    Many m;
    m.count = case_.count(*op);
    m.path = "/api/v1/nodes";
    const int64_t first = nodes_;
    nodes_ += m.count;
    m.body = [op, text, first, n = m.count](int64_t i) {
      Document d = parse_object(render(text, i, n));
      name_node(&d, first + i);
      prepare_node(&d, op, i);
      return to_json(d.root);
    };
    co_await post_many(&m);
    const Value& drivers = (*op)["nodeAllocatableStrategy"]["csiNodeAllocatable"];
    if (drivers.is_null()) co_return;
    std::string none;
    Reply all = co_await ask(any(), "GET", "/api/v1/nodes", none, none);
    Document nodes = parse_object(all.body);
    for (const Value& node : nodes.root["items"].items()) {
      Document d = parse_object("apiVersion: storage.k8s.io/v1\nkind: CSINode\n");
      Value& meta = d.root.set(d.arena, "metadata", Value::map());
      const std::string name(node["metadata"]["name"].as_string());
      meta.set(d.arena, "name", Value::string(d.arena.copy(name)));
      Value& spec = d.root.set(d.arena, "spec", Value::map());
      Value& list = spec.set(d.arena, "drivers", Value::list());
      for (const Member& driver : drivers.members()) {
        Value& one = list.append(d.arena, Value::map());
        one.set(d.arena, "name", Value::string(d.arena.copy(driver.key())));
        one.set(d.arena, "nodeID", Value::string(d.arena.copy(driver.key())));
        Value& room = one.set(d.arena, "allocatable", Value::map());
        room.set(d.arena, "count", driver.value["count"]);
      }
      std::string body = to_json(d.root);
      (void)co_await must("POST", "/apis/storage.k8s.io/v1/csinodes", body, 409);
    }
  }
  // With its host's label, for which the name must be known.
  static void name_node(Document* d, int64_t number) {
    Value& meta = d->root.get_or_add(d->arena, "metadata");
    std::string name(meta["name"].as_string());
    if (name.empty()) {
      name = std::string(meta["generateName"].as_string()) + std::to_string(number);
      meta.set(d->arena, "name", Value::string(d->arena.copy(name)));
    }
    meta.get_or_add(d->arena, "labels")
        .set(d->arena, "kubernetes.io/hostname", Value::string(d->arena.copy(name)));
  }
  static void prepare_node(Document* d, const Value* op, int64_t i) {
    Value& meta = d->root.get_or_add(d->arena, "metadata");
    auto label = [&](std::string_view key, std::string_view value) {
      Value& labels = meta.get_or_add(d->arena, "labels");
      labels.set(d->arena, d->arena.copy(key), Value::string(d->arena.copy(value)));
    };
    const Value& zones = (*op)["labelNodePrepareStrategy"];
    if (!zones.is_null()) {
      const auto values = zones["labelValues"].items();
      label(zones["labelKey"].as_string(),
            values[static_cast<size_t>(i) % values.size()].as_string());
    }
    const Value& unique = (*op)["uniqueNodeLabelStrategy"];
    if (!unique.is_null()) label(unique["labelKey"].as_string(), std::to_string(i));
    Value& status = d->root.get_or_add(d->arena, "status");
    const Value& more = (*op)["nodeAllocatableStrategy"]["nodeAllocatable"];
    for (const Member& m : more.members()) {
      for (const char* where : {"capacity", "allocatable"}) {
        if (!strcmp(where, "allocatable") && !status.find(where)) continue;
        status.get_or_add(d->arena, where)
            .set(d->arena, d->arena.copy(m.key()),
                 Value::string(d->arena.copy(m.value.as_string())));
      }
    }
    if (!status.find("allocatable")) {  // as upstream's server fills it in
      const Value capacity = status["capacity"];
      status.set(d->arena, "allocatable", capacity);
    }
  }

  // A slice of devices for each node whose name begins as `nodes` says ("PREFIX*").
  Task<void> create_driver(const Value* op) {
    const std::string driver((*op)["driverName"].as_string());
    std::string prefix((*op)["nodes"].as_string());
    if (prefix.ends_with('*')) prefix.pop_back();
    const Value& limit = (*op)["maxClaimsPerNodeParam"];
    const int64_t devices =
        case_.workload["params"][limit.as_string().substr(limit.is_string() ? 1 : 0)].as_int();
    std::string none;
    Reply all = co_await ask(any(), "GET", "/api/v1/nodes", none, none);
    std::vector<std::string> names;
    Document list = parse_object(all.body);
    for (const Value& node : list.root["items"].items()) {
      const std::string_view name = node["metadata"]["name"].as_string();
      if (name.starts_with(prefix)) names.emplace_back(name);
    }
    Many m;
    m.count = static_cast<int64_t>(names.size());
    m.path = "/apis/resource.k8s.io/v1/resourceslices";
    m.body = [names, driver, devices](int64_t i) {
      const std::string& node = names[static_cast<size_t>(i)];
      std::string text =
          "apiVersion: resource.k8s.io/v1\nkind: ResourceSlice\nmetadata: {name: " + node +
          "}\nspec:\n  driver: " + driver + "\n  nodeName: " + node + "\n  pool: {name: " + node +
          ", generation: 0, resourceSliceCount: 1}\n  devices:\n";
      for (int64_t d = 0; d < devices; ++d) {
        text += "  - {name: instance-" + std::to_string(d) +
                ", attributes: {model: {string: A100}, family: {string: GPU}, driverVersion: "
                "{version: 1.2.3}, dra.example.com/numa: {int: " +
                std::to_string(d) + "}}, capacity: {memory: {value: 1Gi}}}\n";
      }
      Document made = parse_object(text);
      return to_json(made.root);
    };
    co_await post_many(&m);
  }

  Task<void> make_namespace(std::string ns, std::string text) {
    if (!namespaces_.insert(ns).second) co_return;
    Document d = parse_object(text.empty() ? "apiVersion: v1\nkind: Namespace\n" : text);
    d.root.get_or_add(d.arena, "metadata").set(d.arena, "name", Value::string(d.arena.copy(ns)));
    std::string body = to_json(d.root);
    (void)co_await must("POST", "/api/v1/namespaces", body, 409);
  }
  Task<void> create_namespaces(const Value* op) {
    const std::string text = case_.text(*op, "namespaceTemplatePath");
    const int64_t n = case_.count(*op);
    for (int64_t i = 0; i < n; ++i) {
      std::string ns = std::string((*op)["prefix"].as_string()) + "-" + std::to_string(i);
      co_await make_namespace(ns, text);
    }
  }

  Task<void> create_pods(const Value* op, std::string ns) {
    std::string text = case_.text(*op, "podTemplatePath");
    if (text.empty()) text = case_.text(case_.test, "defaultPodTemplatePath");
    if (text.empty()) {  // upstream's own
      text =
          "apiVersion: v1\nkind: Pod\nmetadata: {generateName: pod-}\nspec: {containers: [{name: "
          "pause, image: registry.k8s.io/pause:3.10.1, ports: [{containerPort: 80}], resources: "
          "{limits: {cpu: 100m, memory: 500Mi}, requests: {cpu: 100m, memory: 500Mi}}}]}\n";
    }
    co_await make_namespace(ns, "");
    const int64_t count = case_.count(*op), before = bound_[ns];
    const bool measured = (*op)["collectMetrics"].as_bool();
    if (measured) {
      std::set<std::string> one;
      one.insert(ns);
      start_measuring(std::move(one), Value());
    }
    Many m;
    m.count = count;
    m.path = "/api/v1/namespaces/" + ns + "/pods";
    const std::string volume = case_.text(*op, "persistentVolumeTemplatePath");
    if (volume.empty()) {
      m.body = bodies(text, count);
      co_await post_many(&m);
    } else {
      co_await create_with_volumes(op, ns, text, volume, &m);
    }
    created_[ns] += count;
    if (!(*op)["skipWaitToCompletion"].as_bool()) {
      const TimePoint end = loop_.now() + kPatience;
      while (bound_[ns] < before + count && loop_.now() < end && error_.empty())
        (void)co_await ctx_.sleep(1ms);
      if (bound_[ns] < before + count && error_.empty())
        error_ = ns + ": only " + std::to_string(bound_[ns] - before) + " of " +
                 std::to_string(count) + " pods were bound";
    }
    if (measured) stop_measuring();
  }

  // Each pod with a claim of its own, bound to a volume of its own before it comes.
  Task<void> create_with_volumes(const Value* op, std::string ns, std::string pod_text,
                                 std::string volume_text, Many* pods) {
    const std::string claim_text = case_.text(*op, "persistentVolumeClaimTemplatePath");
    const int64_t first = volumes_;
    volumes_ += pods->count;
    auto name = [first](std::string_view prefix, int64_t i) {
      return std::string(prefix) + std::to_string(first + i);
    };
    Many claims;
    claims.count = pods->count;
    claims.path = "/api/v1/namespaces/" + ns + "/persistentvolumeclaims";
    claims.body = [=](int64_t i) {
      Document d = parse_object(claim_text);
      const std::string own = name("pvc-", i), volume = name("pv-", i);
      Value& meta = d.root.get_or_add(d.arena, "metadata");
      meta.set(d.arena, "name", Value::string(d.arena.copy(own)));
      Value& spec = d.root.get_or_add(d.arena, "spec");
      spec.set(d.arena, "volumeName", Value::string(d.arena.copy(volume)));
      return to_json(d.root);
    };
    co_await post_many(&claims);
    std::string none, query = "";
    Reply made = co_await ask(any(), "GET", claims.path, none, none);
    std::map<std::string, std::string> uids;
    Document list = parse_object(made.body);
    for (const Value& c : list.root["items"].items())
      uids.emplace(c["metadata"]["name"].as_string(), c["metadata"]["uid"].as_string());
    Many volumes;
    volumes.count = pods->count;
    volumes.path = "/api/v1/persistentvolumes";
    volumes.body = [=](int64_t i) {
      Document d = parse_object(volume_text);
      const std::string own = name("pv-", i), claim = name("pvc-", i);
      Value& meta = d.root.get_or_add(d.arena, "metadata");
      meta.set(d.arena, "name", Value::string(d.arena.copy(own)));
      Value& spec = d.root.get_or_add(d.arena, "spec");
      if (Value* csi = spec.find("csi"))
        csi->set(d.arena, "volumeHandle", Value::string(d.arena.copy(own)));
      Value& by = spec.set(d.arena, "claimRef", Value::map());
      by.set(d.arena, "kind", Value::string("PersistentVolumeClaim"));
      by.set(d.arena, "namespace", Value::string(d.arena.copy(ns)));
      by.set(d.arena, "name", Value::string(d.arena.copy(claim)));
      by.set(d.arena, "uid", Value::string(d.arena.copy(uids.at(claim))));
      return to_json(d.root);
    };
    co_await post_many(&volumes);
    for (int64_t i = 0; i < claims.count; ++i) {
      std::string path = claims.path + "/" + name("pvc-", i) + "/status";
      std::string body = "{\"status\":{\"phase\":\"Bound\"}}";
      co_await merge(path, body);
    }
    auto plain = bodies(pod_text, pods->count);
    pods->body = [=](int64_t i) {
      Document d = parse_object(plain(i));
      Value& spec = d.root.get_or_add(d.arena, "spec");
      Value& v = spec.get_or_add(d.arena, "volumes").append(d.arena, Value::map());
      v.set(d.arena, "name", Value::string("vol"));
      Value& source = v.set(d.arena, "persistentVolumeClaim", Value::map());
      source.set(d.arena, "claimName", Value::string(d.arena.copy(name("pvc-", i))));
      return to_json(d.root);
    };
    co_await post_many(pods);
  }
  Task<void> merge(std::string path, std::string body) {
    net::Headers headers;
    headers.add("Accept", "application/json");
    headers.add("Content-Type", "application/merge-patch+json");
    std::string none;
    auto r = co_await any()->raw(ctx_, "PATCH", path, none, std::move(headers), std::move(body));
    if ((!r.ok() || r->status != 200) && error_.empty() && !ctx_.done())
      error_ = "PATCH " + path + ": " + (r.ok() ? r->body.substr(0, 400) : r.status().to_string());
  }

  Task<void> create_or_update(const Value* op, bool update) {
    const std::string text = case_.text(*op, "templatePath");
    const int64_t count = case_.count(*op, 1), rate = (*op)["updatePerSecond"].as_int();
    std::string ns((*op)["namespace"].as_string());
    if (!ns.empty()) co_await make_namespace(ns, "");
    for (int64_t i = 0; i < count && error_.empty(); ++i) {
      Document d = parse_object(render(text, i, count));
      std::string path = path_of(d.root, ns), body = to_json(d.root);
      if (!update) {
        (void)co_await must("POST", path, body);
        continue;
      }
      path += "/" + std::string(d.root["metadata"]["name"].as_string());
      const Value& parts = (*op)["subresources"];
      if (parts.empty()) {
        co_await replace(path, body);
        const bool node = d.root["kind"].as_string() == "Node";
        if (node) co_await merge(path + "/status", status_of(d));
      }
      for (const Value& part : parts.items())
        co_await replace(path + "/" + std::string(part.as_string()), body);
      if (rate > 0) (void)co_await ctx_.sleep(Duration(1s) / rate);
    }
  }
  Task<void> replace(std::string path, std::string body) {
    (void)co_await must("PUT", path, std::move(body));
  }
  static std::string status_of(const Document& d) {
    const Value& capacity = d.root["status"]["capacity"];
    return "{\"status\":{\"capacity\":" + to_json(capacity) +
           ",\"allocatable\":" + to_json(capacity) + "}}";
  }

  Task<void> churn(const Value* op, std::string ns) {
    const int64_t interval = std::max<int64_t>((*op)["intervalMilliseconds"].as_int(), 0);
    const int64_t number = (*op)["number"].as_int();
    const bool again = (*op)["mode"].as_string() == "recreate";
    std::vector<std::string> texts;
    for (const Value& path : (*op)["templatePaths"].items()) {
      Document d = parse_object("{path: '" + std::string(path.as_string()) + "'}");
      texts.push_back(case_.text(d.root, "path"));
    }
    std::vector<std::vector<std::string>> made(
        texts.size(), std::vector<std::string>(static_cast<size_t>(std::max<int64_t>(number, 1))));
    for (int64_t n = 0; again || number == 0 || n < number; ++n) {
      const Duration pause = interval == 0 ? Duration(500ms) : Duration(1ms) * interval;
      Status s = co_await ctx_.sleep(pause);
      if (!s.ok()) co_return;
      for (size_t k = 0; k < texts.size(); ++k) {
        Document d = parse_object(texts[k]);
        const std::string path = path_of(d.root, ns);
        std::string& name = made[k][static_cast<size_t>(n) % made[k].size()];
        if (again && !name.empty()) {
          std::string none, gone = path + "/" + name + "?gracePeriodSeconds=0";
          (void)co_await must("DELETE", path + "/" + name, none, 404);
          name.clear();
          continue;
        }
        std::string body = to_json(d.root);
        Reply r = co_await must("POST", path, body);
        if (r.status != 201) continue;
        Document answer = parse_object(r.body);
        name = answer.root["metadata"]["name"].as_string();
      }
    }
  }

  static std::string selector_query(const Value& selector) {
    std::string out;
    for (const Member& m : selector.members())
      out += (out.empty() ? "labelSelector=" : "%2C") + std::string(m.key()) + "%3D" +
             std::string(m.value.as_string());
    return out;
  }
  Task<void> delete_pods(const Value* op) {
    const std::string path =
        "/api/v1/namespaces/" + std::string((*op)["namespace"].as_string()) + "/pods";
    const int64_t rate = (*op)["deletePodsPerSecond"].as_int();
    std::string none, query = selector_query((*op)["labelSelector"]);
    Reply all = co_await ask(any(), "GET", path, query, none);
    if (all.status != 200) co_return;
    Document list = parse_object(all.body);
    for (const Value& pod : list.root["items"].items()) {
      if (ctx_.done()) co_return;
      std::string one = path + "/" + std::string(pod["metadata"]["name"].as_string());
      (void)co_await must("DELETE", one, none, 404);
      if (rate > 0) (void)co_await ctx_.sleep(Duration(1s) / rate);
    }
  }

  // Until every pod that it is about is bound; with stage Attempted, at least tried.
  Task<void> barrier(const Value* op) {
    std::set<std::string> namespaces;
    for (const Value& n : (*op)["namespaces"].items()) namespaces.emplace(n.as_string());
    if (namespaces.empty())
      for (const auto& [ns, n] : created_) namespaces.insert(ns);
    const bool attempted = (*op)["stageRequirement"].as_string() == "Attempted";
    const TimePoint end = loop_.now() + kPatience;
    for (const std::string& ns : namespaces) {
      for (;;) {
        std::string query = "fieldSelector=spec.nodeName%3D";
        const std::string labels = selector_query((*op)["labelSelector"]);
        if (!labels.empty()) query += "&" + labels;
        std::string none, path = "/api/v1/namespaces/" + ns + "/pods";
        Reply r = co_await ask(any(), "GET", path, query, none);
        if (r.status != 200) {
          error_ = "barrier: " + r.body.substr(0, 200);
          co_return;
        }
        Document list = parse_object(r.body);
        int64_t waiting = 0;
        for (const Value& pod : list.root["items"].items()) waiting += !attempted || !tried(pod);
        if (waiting == 0) break;
        if (loop_.now() > end) {
          error_ = ns + ": " + std::to_string(waiting) + " pods are still waiting at a barrier";
          co_return;
        }
        (void)co_await ctx_.sleep(50ms);
      }
    }
  }
  static bool tried(const Value& pod) {
    for (const Value& c : pod["status"]["conditions"].items())
      if (c["type"].as_string() == "PodScheduled") return true;
    return false;
  }

  void print() {
    const double seconds = static_cast<double>((last_bound_ - began_).count()) / 1e9;
    const auto pods = static_cast<double>(measured_pods_);
    const std::string target =
        case_.threshold > 0 ? text("threshold %.0f/s", case_.threshold) : "no threshold";
    if (!error_.empty()) printf("%s: %s\n", case_.name.c_str(), error_.c_str());
    fflush(stdout);
    if (measured_pods_ == 0 || seconds <= 0) {
      print_figure(case_.name, "nothing was measured", target);
      return;
    }
    print_figure(
        case_.name,
        text("%.0f pods/s", pods / seconds) + text(", server CPU %.3f ms each", 1e3 * cpu_ / pods),
        target);
    fflush(stdout);
  }

  const PerfCase& case_;
  BenchServer& server_;
  RealLoop& loop_;
  Context ctx_;
  std::vector<std::unique_ptr<HttpsClient>> clients_;
  TaskGroup background_;
  size_t next_client_ = 0;
  bool watching_ = false, measuring_ = false;
  std::string error_;
  std::map<std::string, int64_t> bound_, created_;
  std::set<std::string> namespaces_, measured_;
  std::string measured_label_;
  int64_t measured_pods_ = 0, volumes_ = 0, nodes_ = 0;
  TimePoint began_, last_bound_;
  double cpu_ = 0;
};

}  // namespace
}  // namespace keles::bench

int main(int argc, char** argv) {
  using namespace keles::bench;
  if (argc < 2) {
    fprintf(stderr, "schedule_perf FOLDER [CASE]\n");
    return 2;
  }
  std::vector<PerfCase> cases = find_cases(argv[1], argc > 2 ? argv[2] : "");
  if (cases.empty()) {
    fprintf(stderr, "schedule_perf: no workload of that name\n");
    return 1;
  }
  for (const PerfCase& c : cases) {
    // Claims of templates are made by their controller.
    bool devices = false;
    for (const auto& op : c.operations().items())
      devices |= op["opcode"].as_string() == "createResourceDriver";
    BenchServer server(argv[0],
                       {devices ? "--controllers=resourceclaim-controller" : "--controllers=",
                        "--disable-admission-plugins=ServiceAccount,"
                        "TaintNodesByCondition,Priority"});
    auto loop = keles::make_real_loop();
    Run r(c, server, *loop);
    run(*loop, r.everything());
  }
}
