#include "proxy/policy/enforcer.h"

#include <algorithm>

#include "base/log.h"
#include "base/metrics.h"
#include "net/host/nftables.h"
#include "proxy/policy/ruleset.h"

namespace keles::policy {
namespace {

using api::core_v1::Namespace;
using api::core_v1::Pod;
using api::discovery_v1::EndpointSlice;
using api::networking_v1::NetworkPolicy;

constexpr Duration kPatience = 10s;  // of a pod that waits to be decided
constexpr Duration kRetryRefused = 5min;
constexpr Duration kGivenFor = 10min;  // until the API must have shown what was admitted
constexpr size_t kMostGiven = 1024;    // more pods than a node starts in that time
constexpr char kDnsNamespace[] = "kube-system", kDnsService[] = "kube-dns";

metrics::Histogram& sync_seconds() {
  static metrics::Histogram& m =
      metrics::histogram("keles_network_policy_sync_duration_seconds",
                         "Time to bring changes of network policies and pods into force");
  return m;
}

// A name server that is no pod stands for those that policies speak of.
std::vector<PodFacts> name_servers(const EndpointSlice& slice) {
  std::vector<PodFacts> out;
  for (auto e : slice.endpoints()) {
    if (e.has_target_ref()) continue;  // a pod, which speaks for itself
    for (std::string_view text : e.addresses()) {
      auto ip = IpAddress::parse_sloppy(text);
      if (!ip) continue;
      PodFacts f;
      f.ns = kDnsNamespace;
      f.uid = "name-server " + std::string(slice.metadata().name()) + " " + ip->address.text();
      f.labels.emplace("k8s-app", kDnsService);
      f.ips = {ip->address};
      for (auto p : slice.ports()) {
        auto protocol = proxy::parse_protocol(p.protocol());
        auto number = proxy::port_number(p.port());
        if (protocol && number) f.ports.push_back({std::string(p.name()), *protocol, *number});
      }
      std::sort(f.ports.begin(), f.ports.end());
      out.push_back(std::move(f));
    }
  }
  return out;
}

}  // namespace

Enforcer::Enforcer(Client& client, std::string node_name, Apply apply)
    : client_(client),
      node_name_(std::move(node_name)),
      apply_(std::move(apply)),
      policy_informers_(client),
      pod_informers_(client),
      policies_(policy_informers_.informer<NetworkPolicy>()) {
  policies_.on_change([this](const Ref<NetworkPolicy>& before, const Ref<NetworkPolicy>& now) {
    if (now) {
      table_.set_policy(now->metadata().name(), policy_facts(*now));
    } else {
      table_.remove_policy(before->metadata().namespace_(), before->metadata().name());
    }
    note_change();
  });
}

void Enforcer::note_change() {
  ++wanted_;
  changed_.set();
}

void Enforcer::set_pod(const Pod& pod) {
  PodFacts facts = pod_facts(pod, node_name_);
  auto given = given_.find(facts.uid);
  if (given != given_.end()) {
    // Its agent knows better, until the API says the same.
    if (facts.ips == given->second.ips) {
      given_.erase(given);
    } else {
      facts = pod_facts(pod, node_name_, given->second.ips);
    }
  }
  table_.set_pod(std::move(facts));
  note_change();
}

void Enforcer::set_name_server(const Ref<EndpointSlice>& before, const Ref<EndpointSlice>& now) {
  std::vector<PodFacts> wanted;
  if (now) wanted = name_servers(*now);
  if (before) {
    for (const PodFacts& old : name_servers(*before)) {
      auto same = [&](const PodFacts& f) { return f.uid == old.uid; };
      if (std::none_of(wanted.begin(), wanted.end(), same)) table_.remove_pod(old.ns, old.uid);
    }
  }
  for (PodFacts& f : wanted) table_.set_pod(std::move(f));
  note_change();
}

// Pods and namespaces cost memory and traffic: only where there is something to enforce.
void Enforcer::follow(Context ctx) {
  auto namespaces = pod_informers_.informer<Namespace>();
  namespaces.on_change([this](const Ref<Namespace>& before, const Ref<Namespace>& now) {
    if (now) {
      table_.set_namespace(now->metadata().name(), label_map(now->metadata().labels()));
    } else {
      table_.remove_namespace(before->metadata().name());
    }
    note_change();
  });
  pods_ = pod_informers_.informer<Pod>();
  pods_->on_change([this](const Ref<Pod>& before, const Ref<Pod>& now) {
    if (before && (!now || before->metadata().uid() != now->metadata().uid())) {
      given_.erase(std::string(before->metadata().uid()));
      table_.remove_pod(before->metadata().namespace_(), before->metadata().uid());
      note_change();
    }
    if (now) set_pod(*now);
  });
  auto slices = pod_informers_.informer<EndpointSlice>(
      kDnsNamespace, std::string("kubernetes.io/service-name=") + kDnsService);
  slices.on_change([this](const Ref<EndpointSlice>& before, const Ref<EndpointSlice>& now) {
    set_name_server(before, now);
  });
  pod_informers_.start(ctx);
}

Task<Status> Enforcer::sync(Context ctx) {
  Loop* loop = &ctx.loop();
  const TimePoint start = loop->now();
  Status s;
  if (pods_) {
    Changes changes = table_.take();
    if (changes.empty()) co_return Status();
    s = co_await apply_changes(ctx, std::move(changes));
    if (!s.ok()) table_.forget();
  } else if (!cleared_) {
    s = co_await apply_(ctx, no_policy_rules());  // what an earlier process left
  } else {
    co_return Status();
  }
  if (s.ok()) cleared_ = true;
  sync_seconds().observe(static_cast<double>((loop->now() - start).count()) / 1e9);
  co_return s;
}

// As one; where the kernel refuses that, all but the chains, which allow nothing meanwhile, and
// then as many of these as it takes.
Task<Status> Enforcer::apply_changes(Context ctx, Changes changes) {
  if (changes.everything) refused_.clear();
  for (const Changes::Chain& c : changes.chains) refused_.erase(c.name);
  for (const std::string& name : changes.dropped_chains) refused_.erase(name);
  std::string text = policy_rules(changes);
  Status whole = co_await apply_(ctx, std::move(text));
  if (whole.ok() || ctx.done() || changes.chains.empty()) co_return whole;
  std::vector<Changes::Chain> chains = changes.chains;
  for (Changes::Chain& c : changes.chains) c.rules.clear();
  text = policy_rules(changes);
  Status rest = co_await apply_(ctx, std::move(text));
  if (!rest.ok()) co_return rest;
  const bool tried = co_await apply_chains(ctx, std::move(chains));
  co_return tried ? Status() : whole;
}

// Those that are refused are found by halves. False: ctx has ended before all were tried.
Task<bool> Enforcer::apply_chains(Context ctx, std::vector<Changes::Chain> chains) {
  std::vector<std::pair<size_t, size_t>> parts;  // first, end
  if (!chains.empty()) parts.emplace_back(0, chains.size());
  while (!parts.empty()) {
    const auto [first, end] = parts.back();
    parts.pop_back();
    Changes some;
    for (size_t i = first; i < end; ++i) {
      some.chains.push_back(chains[i]);
      some.chains.back().made = false;
    }
    std::string text = policy_rules(some);
    Status s = co_await apply_(ctx, std::move(text));
    if (s.ok()) continue;
    if (ctx.done()) co_return false;
    if (end - first > 1) {
      const size_t middle = first + (end - first) / 2;
      parts.emplace_back(middle, end);
      parts.emplace_back(first, middle);
      continue;
    }
    log::error("A network policy is refused by the kernel and allows nothing",
               {{"chain", chains[first].name}, {"of", chains[first].policy}, {"err", s}});
    some.chains[0].made = false;
    refused_[chains[first].name] = std::move(some.chains[0]);
  }
  co_return true;
}

Task<void> Enforcer::retry_refused(Context ctx) {
  std::vector<Changes::Chain> chains;
  for (auto& [name, chain] : std::exchange(refused_, {})) chains.push_back(std::move(chain));
  (void)co_await apply_chains(ctx, std::move(chains));
}

Task<void> Enforcer::run(Context ctx) {
  policy_informers_.start(ctx);
  Status s = co_await policy_informers_.wait_synced(ctx);
  note_change();
  known_.set();
  Duration backoff = 100ms;
  while (s.ok() && !ctx.done()) {
    Context pause = refused_.empty() ? ctx : ctx.with_timeout(kRetryRefused);
    s = co_await changed_.wait(pause);
    if (!s.ok() && !ctx.done()) {
      co_await retry_refused(ctx);
      s = Status();
      continue;
    }
    if (!s.ok()) break;
    changed_.reset();
    if (!pods_ && table_.has_policies()) {
      follow(ctx);
      s = co_await pod_informers_.wait_synced(ctx);
      if (!s.ok()) break;
    }
    const uint64_t upto = wanted_;
    Status applied = co_await sync(ctx);
    if (applied.ok()) {
      done_ = upto;
      backoff = 100ms;
      failing_.over();
      applied_.wake_all();
      continue;
    }
    if (ctx.done()) break;
    if (failing_.news(ctx.loop().now(), applied.message())) {
      log::error("Network policies not applied, rebuilding all", {{"err", applied}});
    }
    changed_.set();
    (void)co_await ctx.sleep(backoff);
    backoff = std::min<Duration>(backoff * 2, 5s);
  }
  co_await pod_informers_.join();
  co_await policy_informers_.join();
}

// A node without the right to read policies runs its pods all the same; who hears anything else,
// or nothing, does not know what he would run.
Task<Status> Enforcer::wait_for_policies(Context ctx) {
  if (known_.is_set() || gave_up_) co_return Status();
  Context patience = ctx.with_timeout(kPatience);
  Status s = co_await known_.wait(patience);
  if (s.ok()) co_return s;
  const Status unknown = Status::unavailable("the network policies have not been read yet");
  if (ctx.done()) co_return unknown;
  ListOptions one;
  one.limit = 1;
  Context asking = ctx.with_timeout(kPatience);
  std::string everywhere;
  auto answer = co_await client_.list(asking, &kind_of<NetworkPolicy>(), everywhere, one);
  if (known_.is_set()) co_return Status();
  if (answer.ok() || !answer.status().is(Reason::kForbidden)) co_return unknown;
  if (!std::exchange(gave_up_, true)) {
    log::error("The network policies may not be read: pods start without until they may",
               {{"node", node_name_}, {"err", answer.status()}});
  }
  co_return Status();
}

void Enforcer::forget_given(TimePoint now) {
  for (auto it = given_.begin(); it != given_.end();) {
    const Given& g = it->second;
    if (now - g.since < kGivenFor) {
      ++it;
      continue;
    }
    Ref<Pod> known = pods_ ? pods_->get(g.ns, g.name) : Ref<Pod>();
    const std::string uid = it->first, ns = g.ns;
    it = given_.erase(it);
    if (known && known->metadata().uid() == uid) {
      set_pod(*known);
    } else {
      table_.remove_pod(ns, uid);  // it came and went unseen
      note_change();
    }
  }
}

Task<Status> Enforcer::admit(Context ctx, Ref<Pod> pod, std::vector<std::string> ips) {
  std::vector<IpAddress> addresses;
  for (const std::string& text : ips) {
    auto ip = IpAddress::parse(text);
    if (ip) addresses.push_back(*ip);
  }
  if (addresses.empty() || pod->spec().host_network()) co_return Status();
  Status known = co_await wait_for_policies(ctx);
  if (!known.ok()) co_return known;
  forget_given(ctx.loop().now());
  if (given_.size() >= kMostGiven) co_return Status::unavailable("too many pods at once");
  const std::string uid(pod->metadata().uid());
  Given given{std::string(pod->metadata().namespace_()), std::string(pod->metadata().name()),
              addresses, ctx.loop().now()};
  given_[uid] = std::move(given);
  const std::string ns(pod->metadata().namespace_());
  PodFacts facts = pod_facts(*pod, node_name_, addresses);
  facts.local = true;  // its manifest need not say so
  table_.set_pod(std::move(facts));
  if (!table_.has_policies()) co_return Status();
  note_change();
  const uint64_t mine = wanted_;
  const TimePoint end = ctx.loop().now() + kPatience;
  while (done_ < mine) {
    Context patience = ctx.with_deadline(end);
    Status s = co_await applied_.wait(patience);
    if (!s.ok()) {
      // Of him there is nothing to enforce: what he may do is not decided by what is late.
      if (!ctx.done() && !table_.selects(ns, uid)) co_return Status();
      co_return Status::unavailable("the pod's network policies are not in force yet");
    }
  }
  co_return Status();
}

Task<Status> apply_policy_rules(Context ctx, std::string text) {
  Loop* loop = &ctx.loop();
  auto work = [text = std::move(text)] { return apply_nftables(text); };
  Status s = co_await run_blocking(loop, work);
  co_return s;
}

}  // namespace keles::policy
