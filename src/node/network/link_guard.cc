#include "node/network/link_guard.h"

#include <algorithm>
#include <utility>

#include "base/file.h"
#include "base/log.h"
#include "net/host/nftables.h"
#include "node/network/leases.h"
#include "node/network/node_network.h"

namespace keles {
namespace {

constexpr size_t kMaxResult = 1u << 20;
constexpr size_t kMostWaiting = 1024;    // more sandboxes than a node starts at once
constexpr Duration kPatience = 10s;      // of a pod that waits
constexpr Duration kSweep = 60s;         // until what is gone is taken out
constexpr Duration kCollect = 5min;      // between looks at the leases
constexpr Duration kLeaseYouth = 10min;  // its sandbox may not be told of yet
constexpr char kPodEnd[] = "eth0";

Result<std::vector<std::string>> veths_here() {
  TRY_ASSIGN(netlink, Netlink::open());
  TRY_ASSIGN(links, netlink.links());
  std::vector<std::string> out;
  for (const NetLink& l : links)
    if (l.kind == "veth") out.push_back(l.name);
  return out;
}

std::string prefix() { return std::string(kPodNetwork) + "-"; }
std::string suffix() { return std::string("-") + kPodEnd; }

}  // namespace

LinkTable::Kernel LinkTable::real_kernel() {
  Kernel k;
  k.veths = veths_here;
  k.apply = [](const std::string& text) { return apply_nftables(text); };
  return k;
}

LinkTable::LinkTable(LinkPlaces places, Kernel kernel)
    : places_(std::move(places)), kernel_(std::move(kernel)) {}

// kNotFound: the sandbox has nothing of our network.
Result<PodLink> LinkTable::find(const Ask& asked, const std::set<std::string>& veths) const {
  const std::string& id = asked.sandbox;
  if (id.empty() || id.find('/') != std::string::npos)
    return Status::bad_request("the sandbox's id is none");
  auto text = read_file(places_.results + "/" + prefix() + id + suffix(), kMaxResult);
  if (!text.ok() && text.status().is(Reason::kNotFound)) {
    for (const IpAddress& ip : asked.ips)
      if (lease_holder(places_.leases, ip) == id)
        return Status::unavailable("the runtime does not tell which link the pod has");
    return text.status();
  }
  if (!text.ok()) return text.status();
  TRY_ASSIGN(link, read_pod_link(*text, id, kPodBridge));
  if (!veths.contains(link.name))
    return Status::unavailable("the pod's link " + link.name + " is not there");
  return link;
}

Status LinkTable::rebuild(const std::set<std::string>& veths) {
  links_.clear();
  for (const std::string& name :
       list_directory(places_.results).value_or(std::vector<std::string>())) {
    if (!name.starts_with(prefix()) || !name.ends_with(suffix())) continue;
    if (name.size() <= prefix().size() + suffix().size()) continue;
    Ask ask;
    ask.sandbox = name.substr(prefix().size(), name.size() - prefix().size() - suffix().size());
    auto link = find(ask, veths);
    if (link.ok()) {
      links_[link->name] = std::move(*link);
    } else if (!link.status().is(Reason::kUnavailable)) {
      // What runs is not stopped, and what is gone (a machine that was reset) does no harm.
      log::warn("A pod's link is not known: nothing keeps it from speaking as its neighbours",
                {{"sandbox", ask.sandbox}, {"error", link.status()}});
    }
  }
  std::vector<PodLink> all;
  for (const auto& [name, link] : links_) all.push_back(link);
  TRY(kernel_.apply(pod_link_rules(all)));
  built_ = ever_built_ = true;
  return Status();
}

Status LinkTable::change(const std::vector<PodLink>& gone, const std::vector<PodLink>& come) {
  if (gone.empty() && come.empty()) return Status();
  TRY(kernel_.apply(pod_link_changes(gone, come)));
  for (const PodLink& link : gone) links_.erase(link.name);
  for (const PodLink& link : come) links_[link.name] = link;
  return Status();
}

LinkTable::Outcome LinkTable::update(const std::vector<Ask>& asked) {
  Outcome out;
  auto for_all = [&](Status whole, const Status& answer) {
    out.whole = std::move(whole);
    out.answers.assign(asked.size(), answer);
    return out;
  };
  auto there = kernel_.veths();
  if (!there.ok()) return for_all(there.status(), Status::unavailable(there.status().message()));
  const std::set<std::string> veths(there->begin(), there->end());
  out.whole = built_ ? Status() : rebuild(veths);
  if (!out.whole.ok()) {
    // A kernel that never took any has no rules for bridges.
    const Status answer = ever_built_ ? Status::unavailable(out.whole.message()) : Status();
    return for_all(out.whole, answer);
  }
  std::map<std::string, PodLink> come;
  for (const Ask& ask : asked) {
    auto link = find(ask, veths);
    Status s = link.ok() || link.status().is(Reason::kNotFound)
                   ? Status()
                   : Status::unavailable(link.status().message());
    out.answers.push_back(std::move(s));
    if (link.ok()) come[link->name] = std::move(*link);
  }
  std::vector<PodLink> gone, fresh;
  for (const auto& [name, link] : links_) {
    auto now = come.find(name);
    if (!veths.contains(name) || (now != come.end() && now->second != link)) gone.push_back(link);
  }
  for (const auto& [name, link] : come) {
    auto known = links_.find(name);
    if (known == links_.end() || known->second != link) fresh.push_back(link);
  }
  Status changed = change(gone, fresh);
  if (changed.ok()) return out;
  // Another hand was here: all anew, these included, since the runtime tells of them by now.
  built_ = false;
  Status again = rebuild(veths);
  if (again.ok()) return out;
  return for_all(again, Status::unavailable(again.message()));
}

LinkGuard::LinkGuard(Sandboxes sandboxes, LinkPlaces places, LinkTable::Kernel kernel)
    : sandboxes_(std::move(sandboxes)),
      places_(places),
      table_(std::make_shared<LinkTable>(std::move(places), std::move(kernel))) {}

Task<void> LinkGuard::run(Context ctx) {
  TimePoint collected = ctx.loop().now();
  while (!ctx.done()) {
    asked_.reset();
    co_await update(ctx);
    if (ctx.loop().now() - collected >= kCollect) {
      co_await collect(ctx);
      collected = ctx.loop().now();
    }
    Context pause = ctx.with_timeout(kSweep);
    Status woken = co_await asked_.wait(pause);
    (void)woken;
  }
}

Task<void> LinkGuard::update(Context ctx) {
  std::vector<Waiting> waiting = std::exchange(waiting_, {});
  std::vector<LinkTable::Ask> asks;
  for (const Waiting& w : waiting) asks.push_back(w.ask);
  Loop* loop = &ctx.loop();
  auto work = [table = table_, asks = std::move(asks)] { return table->update(asks); };
  LinkTable::Outcome outcome = co_await run_blocking(loop, std::move(work));
  std::string trouble = outcome.whole.message();
  for (size_t i = 0; i < waiting.size(); ++i) {
    const std::string& why = outcome.answers[i].message();
    if (trouble.empty()) trouble = why;
    waiting[i].answer->set(why);
  }
  if (trouble.empty()) {
    failing_.over();
  } else if (failing_.news(loop->now(), trouble)) {
    log::warn("Pods cannot be kept from speaking as their neighbours", {{"error", trouble}});
  }
}

Task<void> LinkGuard::collect(Context ctx) {
  Context limit = ctx.with_timeout(kPatience);
  auto known = co_await sandboxes_(limit);
  if (!known.ok()) co_return;  // the runtime is away: it holds what it holds
  Loop* loop = &ctx.loop();
  std::set<std::string> ids(known->begin(), known->end());
  auto work = [directory = places_.leases, ids = std::move(ids),
               before = loop->wall_now() - kLeaseYouth] {
    return remove_stale_leases(directory, ids, before);
  };
  auto removed = co_await run_blocking(loop, std::move(work));
  if (removed.ok()) {
    uncollected_.over();
    for (const IpAddress& ip : *removed)
      log::info("Removed the lease of an address that no sandbox holds", {{"ip", ip.text()}});
  } else if (uncollected_.news(loop->now(), removed.status().message())) {
    log::warn("Cannot look after the leases of addresses", {{"error", removed.status()}});
  }
}

Task<Status> LinkGuard::admit(Context ctx, std::string sandbox, std::vector<std::string> ips) {
  Waiting mine;
  mine.ask.sandbox = std::move(sandbox);
  for (const std::string& text : ips)
    if (auto ip = IpAddress::parse(text)) mine.ask.ips.push_back(*ip);
  if (waiting_.size() >= kMostWaiting) co_return Status::unavailable("too many pods at once");
  auto answer = std::make_shared<Future<std::string>>();
  mine.answer = answer;
  waiting_.push_back(std::move(mine));
  asked_.set();
  Context patience = ctx.with_timeout(kPatience);
  auto said = co_await answer->wait(patience);
  if (!said.ok()) co_return Status::unavailable("the pod's link is not guarded yet");
  co_return said->empty() ? Status() : Status::unavailable(*said);
}

}  // namespace keles
