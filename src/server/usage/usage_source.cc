#include "server/usage/usage_source.h"

#include <algorithm>

#include "api/core_v1.h"
#include "api/metrics_v1beta1.h"
#include "base/log.h"
#include "machinery/quantity.h"
#include "machinery/time.h"
#include "server/objects/keys.h"
#include "server/objects/kubelet_address.h"
#include "server/objects/meta.h"

namespace keles::usage {
namespace {

namespace metrics_api = api::metrics_v1beta1;

// Kubelets asked side by side: of those that answer, and of those that do not.
constexpr int kAtOnce = 16;

int64_t to_ms(WallTime t) { return t.ns / 1'000'000; }

std::string cpu_text(double cores) {
  const double nano = std::min(cores * 1e9, 9e18);
  return Quantity::parse_or_zero(std::to_string(static_cast<int64_t>(nano)) + "n").to_string();
}

std::string memory_text(double bytes) {
  return Quantity::from_int(static_cast<int64_t>(bytes), Quantity::Format::kBinarySI).to_string();
}

void set_usage(Document& d, Value& parent, const Used& u) {
  Value& usage = registry::edit_map(d, parent, "usage");
  registry::set_text(d, usage, "cpu", cpu_text(u.cores));
  registry::set_text(d, usage, "memory", memory_text(u.memory_bytes));
}

// What both kinds have: whose it is, and when and how long it was measured.
Document begin(const KindDesc& kind, const Value& of, WallTime now, const Used& u) {
  Document d;
  d.root = Value::map();
  registry::set_text(d, d.root, "apiVersion", kind.api_version());
  registry::set_text(d, d.root, "kind", kind.kind);
  const Value& meta = of["metadata"];
  registry::set_meta(d, "name", meta["name"].as_string());
  if (kind.namespaced) registry::set_meta(d, "namespace", meta["namespace"].as_string());
  registry::set_meta(d, "creationTimestamp", format_time(now));
  if (!meta["labels"].empty()) {
    registry::edit_metadata(d).set(d.arena, "labels", deep_copy(d.arena, meta["labels"]));
  }
  const WallTime until{u.until_ms * 1'000'000};
  registry::set_text(d, d.root, "timestamp", format_time(until));
  registry::set_text(d, d.root, "window", format_duration(u.window));
  return d;
}

}  // namespace

UsageSource::UsageSource(Loop& home, Store* store, Options options)
    : home_(home), store_(store), options_(std::move(options)) {}
UsageSource::~UsageSource() = default;

Task<void> UsageSource::run(Context ctx) {
  while (!ctx.done()) {
    Status woken = co_await wanted_.wait(ctx);
    if (!woken.ok()) break;
    while (!ctx.done() && home_.now() - asked_ < options_.idle) {
      const TimePoint next = home_.now() + options_.every;
      co_await round(ctx);
      Status s = co_await ctx.sleep(std::max<Duration>(next - home_.now(), Duration(0)));
      if (!s.ok()) break;
    }
    forget();
  }
  forget();
}

// But who does not answer: the next first round does not wait for those.
void UsageSource::forget() {
  wanted_.reset();
  known_.reset();
  for (auto& [name, node] : nodes_) {
    if (node.client) node.client->close();
    node.client.reset();
    node.told.reset();
  }
}

// Those that there are now; what is known of the others goes.
void UsageSource::look_for_nodes() {
  std::map<std::string, Node> next;
  const std::string prefix = registry::kind_prefix(kind_of<api::core_v1::Node>());
  store_->snapshot()->scan(prefix, prefix, [&](std::string_view, const ObjectPtr& o) {
    DocumentPtr tree = o->tree();
    auto where = registry::kubelet_address(tree->root, options_.kubelet_addresses);
    if (!where.ok()) return true;
    const std::string name(o->name());
    auto known = nodes_.extract(name);
    Node& node = next[name];
    if (!known.empty()) node = std::move(known.mapped());
    if (node.client && (node.host != where->host || node.port != where->port)) {
      node.client->close();
      node.client.reset();
    }
    node.host = where->host;
    node.port = where->port;
    return true;
  });
  for (auto& [name, gone] : nodes_) {
    if (gone.client) gone.client->close();
  }
  nodes_ = std::move(next);
}

// Who does not answer has turns of its own, so that the others never wait for it; in both, who was
// asked the longest ago comes first, so that a round that is cut off begins elsewhere next time.
Task<void> UsageSource::round(Context ctx) {
  look_for_nodes();
  std::vector<std::pair<TimePoint, std::string>> order;
  for (const auto& [name, node] : nodes_) order.emplace_back(node.asked, name);
  std::sort(order.begin(), order.end());
  Semaphore sound_turns(kAtOnce), failing_turns(kAtOnce);
  TaskGroup sound(home_), failing(home_);
  Context limit = ctx.with_timeout(options_.every);
  for (const auto& [when, name] : order) {
    const bool fails = nodes_[name].failures > 0;
    (fails ? failing : sound).spawn(ask_twice(limit, name, fails ? &failing_turns : &sound_turns));
  }
  co_await sound.join();
  known_.set();
  co_await failing.join();
}

// A node that has told of one moment only is asked again soon, whatever the others do.
Task<void> UsageSource::ask_twice(Context ctx, std::string name, Semaphore* turns) {
  const bool first = !nodes_[name].told;  // only round() changes which nodes there are
  bool fine = co_await ask_once(ctx, name, turns);
  if (!fine || !first) co_return;
  Status slept = co_await ctx.sleep(options_.first_gap);
  if (!slept.ok()) co_return;
  (void)co_await ask_once(ctx, name, turns);
}

Task<bool> UsageSource::ask_once(Context ctx, std::string name, Semaphore* turns) {
  Status turn = co_await turns->acquire(ctx);
  if (!turn.ok()) co_return false;
  nodes_[name].asked = home_.now();
  Context limit = ctx.with_timeout(patience(nodes_[name]));
  Status s = co_await ask(limit, name);
  turns->release();
  Node& node = nodes_[name];
  if (s.ok()) {
    node.failures = 0;
    node.answered = home_.now();
    node.failing.over();
    co_return true;
  }
  if (ctx.done()) co_return false;  // the round has ended: that is not the node's fault
  ++node.failures;
  node.told.reset();
  if (node.failing.news(home_.now(), s.message())) {
    log::warn("Failed to scrape node", {{"node", name}, {"err", s}});
  }
  co_return false;
}

Duration UsageSource::patience(const Node& node) const {
  if (node.told) return options_.ask;
  Duration d = options_.ask_new;
  for (int i = 0; i < node.failures && d < options_.ask; ++i) d *= 2;
  return std::min(d, options_.ask);
}

// Rounds that were cut off before the node's turn came leave what it said last, for a while.
const History* UsageSource::fresh(const Node& node) const {
  const bool old = home_.now() - node.answered > 2 * options_.every;
  return node.told && !old ? &*node.told : nullptr;
}

Task<Status> UsageSource::connect(Context ctx, const std::string* name) {
  auto addresses = co_await net::relay_addresses(ctx, nodes_[*name].host, options_.may_dial);
  if (!addresses.ok()) co_return addresses.status();
  Node& node = nodes_[*name];
  net::Endpoint e;
  e.host = addresses->front().text();
  e.port = node.port;
  e.tls = options_.kubelet_tls;
  if (options_.kubelet_identity) options_.kubelet_identity->apply(&*e.tls);
  e.tls->server_name = node.host;
  if (options_.kubelet_subject) e.tls->common_name = "system:node:" + *name;
  node.client = net::HttpClient::create(home_, std::move(e));
  co_return Status();
}

Task<Status> UsageSource::ask(Context ctx, std::string name) {
  if (!nodes_[name].client) {
    Status s = co_await connect(ctx, &name);
    if (!s.ok()) co_return s;
  }
  net::Request request("GET", "/metrics/resource");
  auto got = co_await nodes_[name].client->send(ctx, std::move(request), kMaxSampleText);
  if (!got.ok()) {
    nodes_[name].client.reset();
    co_return got.status();
  }
  if (got->status != 200) {
    co_return Status::unavailable("status code " + std::to_string(got->status));
  }
  auto sample = read_sample(got->body, to_ms(home_.wall_now()));
  if (!sample.ok()) co_return sample.status();
  Node& node = nodes_[name];
  if (!node.told) node.told.emplace();
  node.told->add(*sample);
  co_return Status();
}

// --- questions ----------------------------------------------------------------------------------

Task<void> UsageSource::wait_until_known(TimePoint by) {
  asked_ = home_.now();
  wanted_.set();
  if (known_.is_set()) co_return;
  Context limit = Context::root(home_).with_deadline(std::min(by, asked_ + options_.wait));
  (void)co_await known_.wait(limit);
}

Task<Result<std::vector<ObjectPtr>>> UsageSource::make(const KindDesc* kind, std::string ns,
                                                       std::string name, TimePoint by) {
  co_await wait_until_known(by);
  std::vector<ObjectPtr> out;
  if (kind == &kind_of<metrics_api::NodeMetrics>()) {
    for (const auto& [n, node] : nodes_) {
      if (!name.empty() && n != name) continue;
      if (ObjectPtr o = node_metrics(*kind, n, node)) out.push_back(std::move(o));
    }
  } else {
    std::map<PodName, ObjectPtr> pods;
    for (const auto& [n, node] : nodes_) add_pods(*kind, n, node, ns, name, &pods);
    for (auto& [key, o] : pods) out.push_back(std::move(o));
  }
  if (!name.empty() && out.empty()) {
    const bool node = !kind->namespaced;
    co_return Status::not_found(std::string(kind->group), node ? "nodemetrics" : "podmetrics",
                                node ? name : ns + "/" + name);
  }
  co_return out;
}

ObjectPtr UsageSource::node_metrics(const KindDesc& kind, const std::string& name,
                                    const Node& node) const {
  const History* told = fresh(node);
  if (!told || !told->node) return nullptr;
  auto u = used(*told->node);
  ObjectPtr object =
      store_->snapshot()->get(registry::object_key(kind_of<api::core_v1::Node>(), "", name));
  if (!u || !object) return nullptr;
  DocumentPtr tree = object->metadata();
  Document d = begin(kind, tree->root, home_.wall_now(), *u);
  set_usage(d, d.root, *u);
  return Object::from_document(kind, std::move(d));
}

void UsageSource::add_pods(const KindDesc& kind, const std::string& node_name, const Node& node,
                           const std::string& ns, const std::string& name,
                           std::map<PodName, ObjectPtr>* out) const {
  const History* told = fresh(node);
  if (!told) return;
  auto state = store_->snapshot();
  for (const auto& [pod, containers] : told->pods) {
    if ((!ns.empty() && pod.first != ns) || (!name.empty() && pod.second != name)) continue;
    std::vector<std::pair<std::string, Used>> all;
    for (const auto& [container, series] : containers) {
      auto u = used(series);
      if (!u) break;
      all.emplace_back(container, *u);
    }
    if (all.empty() || all.size() != containers.size()) continue;
    ObjectPtr object =
        state->get(registry::object_key(kind_of<api::core_v1::Pod>(), pod.first, pod.second));
    if (!object) continue;
    DocumentPtr tree = object->tree();
    const bool here = tree->root["spec"]["nodeName"].as_string() == node_name;
    if (!here || tree->root["status"]["phase"].as_string() != "Running") continue;
    // The pod's window is that of the container whose point is the oldest.
    const Used& of = std::min_element(all.begin(), all.end(), [](const auto& a, const auto& b) {
                       return a.second.until_ms < b.second.until_ms;
                     })->second;
    Document d = begin(kind, tree->root, home_.wall_now(), of);
    Value& list = d.root.set(d.arena, "containers", Value::list());
    for (const auto& [container, u] : all) {
      Value& one = list.append(d.arena, Value::map());
      registry::set_text(d, one, "name", container);
      set_usage(d, one, u);
    }
    (*out)[pod] = Object::from_document(kind, std::move(d));
  }
}

Task<Result<std::vector<ObjectPtr>>> UsageSource::objects(Context ctx, const KindDesc* kind,
                                                          std::string ns, std::string name) {
  Loop* here = &ctx.loop();
  auto answer = make(kind, std::move(ns), std::move(name), ctx.deadline());
  if (here == &home_) co_return co_await std::move(answer);
  co_return co_await run_on(&home_, here, std::move(answer));
}

void serve(std::shared_ptr<UsageSource> source, registry::Registry* registry) {
  registry->set_source(kind_of<metrics_api::NodeMetrics>(), source);
  registry->set_source(kind_of<metrics_api::PodMetrics>(), source);
}

}  // namespace keles::usage
