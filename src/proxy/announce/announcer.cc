#include "proxy/announce/announcer.h"

#include <algorithm>

#include "base/log.h"
#include "client/announced_by.h"
#include "proxy/announce/frames.h"

namespace keles::announce {

using api::core_v1::Service;

namespace {

// Those whose neighbours changed a moment ago take no other MAC for a second.
constexpr int kAnnouncements = 3;
constexpr Duration kBetween = 1s;
constexpr Duration kLongestPause = 30s;

std::string key_of(const Service& s) {
  return std::string(s.metadata().namespace_()) + "/" + std::string(s.metadata().name());
}

}  // namespace

std::set<IpAddress> announced_here(const Service& service, const AnnouncerOptions& options) {
  std::set<IpAddress> out;
  if (service.spec().type() != "LoadBalancer" || !service.spec().load_balancer_class().empty() ||
      service.metadata().annotations().get(kAnnouncedBy) != options.node_name)
    return out;
  for (auto i : service.status().load_balancer().ingress()) {
    const auto ip = IpAddress::parse(i.ip());
    if (!ip || !options.pool.contains(*ip)) continue;
    if (std::count(options.node_ips.begin(), options.node_ips.end(), *ip) == 0) out.insert(*ip);
  }
  return out;
}

Announcer::Announcer(InformerFactory& informers, AnnouncerOptions options, Open open)
    : options_(std::move(options)),
      open_(std::move(open)),
      services_(informers.informer<Service>()) {
  services_.on_change([this](const Ref<Service>& before, const Ref<Service>& now) {
    const std::string key = key_of(now ? *now : *before);
    std::set<IpAddress> here;
    if (now) here = announced_here(*now, options_);
    const auto had = of_services_.find(key);
    if (had == of_services_.end() ? here.empty() : had->second == here) return;
    if (here.empty()) {
      of_services_.erase(had);
    } else {
      of_services_[key] = std::move(here);
    }
    changed_.set();
  });
}

void Announcer::renewed(TimePoint begun) {
  const bool was_out = !renewed_ || begun - *renewed_ >= kOutOfTouch;
  renewed_ = begun;
  if (was_out) changed_.set();
}

std::set<IpAddress> Announcer::wanted(TimePoint now) const {
  std::set<IpAddress> out;
  if (!renewed_ || now - *renewed_ >= kOutOfTouch) return out;
  for (const auto& [key, addresses] : of_services_) out.insert(addresses.begin(), addresses.end());
  return out;
}

Task<void> Announcer::run(Context ctx) {
  Status s = co_await services_.base().wait_synced(ctx);
  Duration pause = 1s;
  while (!ctx.done()) {
    const bool nothing = wanted(ctx.loop().now()).empty();
    if (nothing) {
      (void)co_await changed_.wait(ctx);
      changed_.reset();
      continue;
    }
    auto link = open_();
    s = link.status();
    if (s.ok()) s = co_await session(ctx, link->get());
    if (s.ok()) {
      failing_.over();
      pause = 1s;
      continue;
    }
    if (ctx.done()) break;
    if (failing_.news(ctx.loop().now(), s.message())) {
      log::error("Load balancer addresses are not announced",
                 {{"node", options_.node_name}, {"err", s}});
    }
    (void)co_await ctx.sleep(pause);
    pause = std::min<Duration>(pause * 2, 30s);
  }
}

// As long as there is something to announce on the link; an error when the link fails.
Task<Status> Announcer::session(Context ctx, NeighborLink* link) {
  asked_for_.clear();
  active_.clear();
  probing_.clear();
  untold_.clear();
  broken_ = Status();
  Context life = ctx.child();
  TaskGroup group(ctx.loop());
  for (bool v6 : {false, true}) {
    if (options_.pool.has_family(v6)) group.spawn(answer_questions(life, link, v6));
  }
  Status s;
  while (s.ok() && !ctx.done()) {
    changed_.reset();
    const TimePoint now = ctx.loop().now();
    const std::set<IpAddress> addresses = wanted(now);
    s = broken_;
    if (s.ok()) s = take(link, addresses);
    if (s.ok()) s = probe_some(link, now);
    if (s.ok()) s = announce(link);
    if (!s.ok() || addresses.empty()) break;
    // Until something changes, is to be said again, or nothing was heard of the API for too long.
    Duration wait = *renewed_ + kOutOfTouch - now;
    if (!untold_.empty()) wait = std::min(wait, kBetween);
    for (const auto& [ip, p] : probing_) wait = std::min(wait, p.next - now);
    Context rest = ctx.with_timeout(wait);
    (void)co_await changed_.wait(rest);
  }
  life.cancel();
  co_await group.join();
  active_.clear();
  co_return s;
}

// From now on these are answered for, and no others.
Status Announcer::take(NeighborLink* link, const std::set<IpAddress>& addresses) {
  if (addresses == asked_for_) return {};
  TRY_ASSIGN(own, link->own());
  std::set<IpAddress> next;
  for (const IpAddress& ip : addresses) {
    if (!own.contains(ip)) {
      next.insert(ip);
    } else if (!asked_for_.contains(ip)) {
      log::error("A load balancer address is this machine's own, and is not announced",
                 {{"address", ip.text()}, {"node", options_.node_name}});
    }
  }
  TRY(link->listen_for(next));
  for (const IpAddress& ip : next)
    if (!active_.contains(ip)) probing_.try_emplace(ip);  // at once
  std::erase_if(probing_, [&next](const auto& p) { return !next.contains(p.first); });
  std::erase_if(active_, [&](const IpAddress& ip) {
    if (next.contains(ip)) return false;
    untold_.erase(ip);
    log::info("No longer announcing a load balancer address", {{"address", ip.text()}});
    return true;
  });
  asked_for_ = addresses;
  return {};
}

// Those that nobody was heard to have are answered for from now on.
Status Announcer::probe_some(NeighborLink* link, TimePoint now) {
  for (auto it = probing_.begin(); it != probing_.end();) {
    auto& [ip, p] = *it;
    if (now < p.next) {
      ++it;
    } else if (p.left > 0) {
      TRY(link->send(probe(ip, link->mac())));
      --p.left;
      p.next = now + kBetweenProbes;
      ++it;
    } else {
      active_.insert(ip);
      untold_[ip] = kAnnouncements;
      log::info("Announcing a load balancer address",
                {{"address", ip.text()}, {"mac", mac_text(link->mac())}});
      it = probing_.erase(it);
    }
  }
  return {};
}

Status Announcer::announce(NeighborLink* link) {
  for (auto it = untold_.begin(); it != untold_.end();) {
    TRY(link->send(announcement(it->first, link->mac())));
    it = --it->second == 0 ? untold_.erase(it) : std::next(it);
  }
  return {};
}

Task<void> Announcer::answer_questions(Context ctx, NeighborLink* link, bool v6) {
  while (!ctx.done()) {
    auto frame = co_await link->receive(ctx, v6);
    if (ctx.done()) co_return;
    if (!frame.ok()) {
      broken_ = frame.status();
      changed_.set();
      co_return;
    }
    hear_claim(link, *frame, ctx.loop().now());
    answer_one(link, *frame, ctx.loop().now());
  }
}

void Announcer::answer_one(NeighborLink* link, const std::string& frame, TimePoint now) {
  const auto question = read_question(frame);
  if (!question || !active_.contains(question->target)) return;
  if (!renewed_ || now - *renewed_ >= kOutOfTouch) return;
  if (question->is_claim()) return;
  // A link that fails says so where it is read.
  (void)link->send(answer(*question, link->mac()));
}

void Announcer::hear_claim(NeighborLink* link, const std::string& frame, TimePoint now) {
  const auto claim = read_claim(frame);
  if (!claim || claim->mac == link->mac()) return;
  const auto asked = probing_.find(claim->address);
  const bool has_it = asked != probing_.end();
  // Who looks whether anybody has what we have is answered, and takes it from nobody.
  const auto question = read_question(frame);
  const bool looks = question && question->from.is_unspecified();
  if (!has_it && (looks || !active_.contains(claim->address))) return;
  if (has_it) {
    Probing& p = asked->second;
    p.left = kProbes;
    if (p.next > now + kBetweenProbes) return;  // it waits already
    p.next = now + p.pause;
    p.pause = std::min<Duration>(p.pause * 2, kLongestPause);
    changed_.set();
  }
  const std::string who = mac_text(claim->mac);
  if (claimed_.news(now, claim->address.text() + who)) {
    log::warn("Another machine says that it has a load balancer address",
              {{"address", claim->address.text()}, {"mac", who}, {"announced", !has_it}});
  }
}

}  // namespace keles::announce
