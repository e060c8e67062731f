#include "server/admission/event_rate_limit.h"

#include <algorithm>

#include "machinery/quota/resource_list.h"
#include "server/admission/plugins.h"

namespace keles::admission {

EventLimiter::EventLimiter(std::vector<EventLimit> limits) {
  for (EventLimit& l : limits) limiters_.push_back(Limiter{l, {}, {}});
}

std::string_view limit_type_name(EventLimit::Type type) {
  switch (type) {
    case EventLimit::Type::kServer:
      return "Server";
    case EventLimit::Type::kNamespace:
      return "Namespace";
    case EventLimit::Type::kUser:
      return "User";
    case EventLimit::Type::kSourceAndObject:
      return "SourceAndObject";
  }
  return "";
}

bool EventLimiter::Limiter::accept(const std::string& key, WallTime now) {
  const double burst = static_cast<double>(limit.burst);
  auto at = by_key.find(key);
  if (at == by_key.end()) {
    used.emplace_front(key, Bucket{burst, now});
    at = by_key.emplace(key, used.begin()).first;
    const auto most = static_cast<size_t>(limit.cache_size > 0 ? limit.cache_size : 4096);
    if (used.size() > most) {
      by_key.erase(used.back().first);
      used.pop_back();
    }
  } else {
    used.splice(used.begin(), used, at->second);
  }
  Bucket& bucket = used.front().second;
  const double passed = std::max<double>(0, static_cast<double>((now - bucket.at).count()) / 1e9);
  bucket.tokens = std::min(burst, bucket.tokens + passed * static_cast<double>(limit.qps));
  bucket.at = now;
  if (bucket.tokens < 1) return false;
  bucket.tokens -= 1;
  return true;
}

std::string EventLimiter::refuse(const Keys& keys, WallTime now) {
  using Type = EventLimit::Type;
  std::vector<std::string> problems;
  std::lock_guard lock(mutex_);
  for (Limiter& l : limiters_) {
    const Type type = l.limit.type;
    const std::string key = type == Type::kNamespace         ? keys.ns
                            : type == Type::kUser            ? keys.user
                            : type == Type::kSourceAndObject ? keys.source_and_object
                                                             : "";
    if (l.accept(key, now)) continue;
    problems.push_back("limit reached on type " + std::string(limit_type_name(type)) + " for key " +
                       key);
  }
  const std::string all = quota::joined(problems, ", ");
  return problems.size() > 1 ? "[" + all + "]" : all;
}

Status event_rate_limit(const Attributes& a, const Value* event, const Value*) {
  const KindDesc& served = a.served ? *a.served : *a.kind;
  if (!event || !a.is("", "Event") || !served.group.empty() || a.dry_run) return {};
  if (a.operation != Operation::kCreate && a.operation != Operation::kUpdate) return {};
  if (!a.config || !a.config->plugins.event_limiter) return {};
  EventLimiter::Keys keys{std::string(a.namespace_), std::string(a.user), ""};
  const Value &source = (*event)["source"], &object = (*event)["involvedObject"];
  for (const Value* part :
       {&source["component"], &source["host"], &object["kind"], &object["namespace"],
        &object["name"], &object["uid"], &object["apiVersion"]}) {
    keys.source_and_object += part->as_string();
  }
  const std::string why = a.config->plugins.event_limiter->refuse(keys, a.now);
  if (why.empty()) return {};
  return Status(Reason::kTooManyRequests, "Too many requests: " + why);
}

}  // namespace keles::admission
