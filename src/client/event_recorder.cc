#include "client/event_recorder.h"

#include <algorithm>
#include <cstdio>

#include "api/core_v1.h"
#include "base/log.h"
#include "machinery/time.h"

namespace keles {

namespace {

using CoreEvent = api::core_v1::Event;
using api::core_v1::EventEdit;

constexpr size_t kRemembered = 4096;
constexpr size_t kSimilarLimit = 10;
constexpr Duration kSimilarWindow = 10min;
constexpr double kBurst = 25;
constexpr double kRefillPerSecond = 1.0 / 300;
constexpr int kAttempts = 12;

std::string join_parts(std::initializer_list<std::string_view> parts) {
  std::string s;
  for (std::string_view p : parts) s.append(p).push_back('\x1f');
  return s;
}

}  // namespace

ObjectReference reference_to(const Value& root, const KindDesc& kind, std::string_view field_path) {
  const Value& m = root["metadata"];
  ObjectReference r;
  r.api_version = kind.api_version();
  r.kind = kind.kind;
  r.ns = m["namespace"].as_string();
  r.name = m["name"].as_string();
  r.uid = m["uid"].as_string();
  r.resource_version = m["resourceVersion"].as_string();
  r.field_path = field_path;
  return r;
}

ObjectReference reference_to(const Object& object, std::string_view field_path) {
  ObjectReference r;
  r.api_version = object.kind().api_version();
  r.kind = object.kind().kind;
  r.ns = object.namespace_();
  r.name = object.name();
  r.uid = object.uid();
  r.resource_version = std::to_string(object.revision());
  r.field_path = field_path;
  return r;
}

template <class T>
T* EventRecorder::Recent<T>::find(const std::string& key) {
  auto it = entries_.find(key);
  return it == entries_.end() ? nullptr : &it->second.value;
}

template <class T>
T& EventRecorder::Recent<T>::get_or_add(const std::string& key) {
  Entry& e = entries_[key];
  if (e.used) by_use_.erase(e.used);
  e.used = ++clock_;
  by_use_[e.used] = key;
  if (entries_.size() > kRemembered) {
    entries_.erase(by_use_.begin()->second);
    by_use_.erase(by_use_.begin());
  }
  return e.value;
}

EventRecorder::EventRecorder(Client& client, std::string component, std::string host)
    : client_(client),
      component_(std::move(component)),
      host_(std::move(host)),
      group_(client.loop()) {}

EventRecorder::~EventRecorder() = default;

void EventRecorder::start(Context ctx) { group_.spawn(run(ctx)); }

Task<void> EventRecorder::join() { co_await group_.join(); }

void EventRecorder::event(const ObjectReference& about, std::string_view type,
                          std::string_view reason, std::string message) {
  if (message.size() > 1024) message.resize(1024);
  Pending p{about, std::string(type), std::string(reason), std::move(message),
            client_.loop().wall_now()};
  if (!queue_.try_push(std::move(p))) ++dropped_;
}

bool EventRecorder::allowed(const ObjectReference& about) {
  Bucket& b = buckets_.get_or_add(join_parts(
      {component_, host_, about.kind, about.ns, about.name, about.uid, about.api_version}));
  TimePoint now = client_.loop().now();
  if (b.last.ns != 0) {
    double passed = std::chrono::duration<double>(now - b.last).count();
    b.tokens = std::min(kBurst, b.tokens + passed * kRefillPerSecond);
  }
  b.last = now;
  if (b.tokens < 1) return false;
  b.tokens -= 1;
  return true;
}

Task<void> EventRecorder::run(Context ctx) {
  for (;;) {
    auto next = co_await queue_.pop(ctx);
    if (!next.ok()) co_return;
    Pending p = std::move(*next);
    if (!allowed(p.about)) {
      ++dropped_;
      continue;
    }
    std::string object = join_parts({p.about.kind, p.about.ns, p.about.name, p.about.uid,
                                     p.about.api_version, p.about.field_path, p.type, p.reason});
    Similar& similar = similar_.get_or_add(object);
    if (p.when - similar.last > kSimilarWindow) similar.messages.clear();
    similar.last = p.when;
    similar.messages.insert(p.message);
    std::string key = object + p.message;
    if (similar.messages.size() > kSimilarLimit) {
      similar.messages.erase(similar.messages.begin());
      key = object + "\x1e";
      p.message = "(combined from similar events): " + p.message;
    }
    co_await write(ctx, std::move(p), std::move(key));
  }
}

Task<void> EventRecorder::write(Context ctx, Pending p, std::string key) {
  for (int attempt = 0; attempt < kAttempts && !ctx.done(); ++attempt) {
    Seen seen = seen_.get_or_add(key);
    Status s;
    if (seen.count > 0) s = co_await bump(ctx, &p, &seen);
    if (seen.count == 0 || s.is(Reason::kNotFound)) {
      seen = Seen();
      s = co_await create(ctx, &p, &seen);
    }
    if (s.ok() || s.is(Reason::kAlreadyExists)) {
      seen_.get_or_add(key) = seen;
      co_return;
    }
    bool worth_retrying = s.is(Reason::kUnavailable) || s.is(Reason::kServiceUnavailable) ||
                          s.is(Reason::kTooManyRequests) || s.is(Reason::kServerTimeout) ||
                          s.is(Reason::kTimeout);
    if (!worth_retrying) {
      if (log::v(2)) log::info("Event was not recorded", {{"reason", p.reason}, {"err", s}});
      co_return;
    }
    auto wait = static_cast<int64_t>(10e9 * (0.5 + client_.loop().random().unit() * 0.5));
    (void)co_await ctx.sleep(Duration(wait));
  }
}

Task<Status> EventRecorder::create(Context ctx, const Pending* p, Seen* seen) {
  char suffix[20];
  last_name_ = std::max(last_name_ + 1, p->when.ns);  // two of one instant are still two
  snprintf(suffix, sizeof suffix, ".%llx", static_cast<unsigned long long>(last_name_));
  std::string ns = p->about.ns.empty() ? "default" : p->about.ns;
  std::string when = format_time(p->when);
  seen->name = p->about.name + suffix;
  seen->count = 1;
  seen->first = p->when;
  Draft<EventEdit> e;
  auto meta = e->edit_metadata();
  meta.set_name(seen->name);
  meta.set_namespace_(ns);
  auto about = e->edit_involved_object();
  about.set_kind(p->about.kind);
  if (!p->about.ns.empty()) about.set_namespace_(p->about.ns);
  about.set_name(p->about.name);
  if (!p->about.uid.empty()) about.set_uid(p->about.uid);
  about.set_api_version(p->about.api_version);
  if (!p->about.resource_version.empty()) about.set_resource_version(p->about.resource_version);
  if (!p->about.field_path.empty()) about.set_field_path(p->about.field_path);
  e->set_reason(p->reason);
  e->set_message(p->message);
  auto source = e->edit_source();
  source.set_component(component_);
  if (!host_.empty()) source.set_host(host_);
  e->set_first_timestamp(when);
  e->set_last_timestamp(when);
  e->set_count(1);
  e->set_type(p->type);
  e->set_reporting_component(component_);
  e->set_reporting_instance(host_);
  Context limited = ctx.with_timeout(30s);
  auto r = co_await client_.create<CoreEvent>(limited, e.take());
  co_return r.status();
}

Task<Status> EventRecorder::bump(Context ctx, const Pending* p, Seen* seen) {
  std::string ns = p->about.ns.empty() ? "default" : p->about.ns;
  Document patch;
  patch.root = Value::map();
  patch.root.set(patch.arena, "count", Value(seen->count + 1));
  patch.root.set(patch.arena, "lastTimestamp",
                 Value::string(patch.arena.copy(format_time(p->when))));
  patch.root.set(patch.arena, "message", Value::string(patch.arena.copy(p->message)));
  Context limited = ctx.with_timeout(30s);
  auto r = co_await client_.patch(limited, &kind_of<CoreEvent>(), ns, seen->name,
                                  PatchType::kStrategicMerge, std::move(patch), WriteOptions());
  if (r.ok()) ++seen->count;
  co_return r.status();
}

}  // namespace keles
