// watch: the store's events as one kind's, seen through selectors.
#include <algorithm>
#include <deque>

#include "base/buggify.h"
#include "base/encoding.h"
#include "machinery/custom_kind.h"
#include "server/objects/keys.h"
#include "server/objects/meta.h"
#include "server/registry/convert.h"
#include "server/registry/registry.h"
#include "server/registry/selection.h"
#include "server/registry/snapshots.h"
#include "store/unreadable.h"

namespace keles::registry {
namespace {

constexpr Duration kBookmarkEvery = 60s;
constexpr Duration kBookmarkBeforeEnd = 2s;

// Every minute, and shortly before the watch's time is over: who begins another then goes on from
// as new a state as can be.
TimePoint bookmark_time(const Context& ctx) {
  const TimePoint now = ctx.loop().now();
  const TimePoint regular = now + kBookmarkEvery;
  const TimePoint last = ctx.deadline() - kBookmarkBeforeEnd;
  return last > now ? std::min(regular, last) : regular;
}

class KindWatch final : public WatchStream {
 public:
  // Tells of what comes after `revision`, which may be one that is still to come.
  KindWatch(const KindDesc* kind, Selection selection, std::string name, bool bookmarks,
            std::unique_ptr<StoreWatch> events, int64_t revision)
      : kind_(kind),
        selection_(std::move(selection)),
        name_(std::move(name)),
        bookmarks_(bookmarks),
        events_(std::move(events)),
        after_(revision),
        revision_(revision),
        custom_(custom_kinds(*kind)) {}

  // A watch that has only an error to tell: upstream answers 200 and an ERROR event.
  explicit KindWatch(Status error) { fail(std::move(error)); }

  void add_initial(const ObjectPtr& object) {
    if (wanted(object)) {
      pending_.push_back({WatchItem::Type::kAdded, object, object->revision(), false, {}});
    }
  }
  void add_bookmark(bool initial_events_end) {
    pending_.push_back({WatchItem::Type::kBookmark, nullptr, revision_, initial_events_end, {}});
  }
  bool wanted(const ObjectPtr& object) const {
    if (!name_.empty() && object->name() != name_) return false;
    return selection_->matches(object);
  }

  Task<Result<std::vector<WatchItem>>> next(Context ctx, size_t limit) override {
    std::vector<WatchItem> out;
    if (!next_bookmark_) next_bookmark_ = bookmark_time(ctx);
    if (custom_ && !ended_) {
      ended_ = custom_->ended().subscribe(ctx.loop(), [this] {
        if (waiting_) waiting_->cancel();
      });
    }
    while (true) {
      take_pending(out, limit);
      if (!out.empty()) co_return std::move(out);
      if (!events_) {  // over
        Status s = co_await ctx.sleep(24h);
        co_return s.ok() ? Status::cancelled() : s;
      }
      Context wait = bookmarks_ ? ctx.with_deadline(*next_bookmark_) : ctx;
      if (custom_) {
        wait = wait.child();
        waiting_ = wait;
        if (custom_->withdrawn()) wait.cancel();  // what has happened is still told
      }
      auto got = co_await events_->next(wait, limit);
      waiting_.reset();
      if (got.ok()) {
        Status s = co_await take(ctx, std::move(*got));
        if (!s.ok()) {
          events_.reset();
          fail(std::move(s));
        }
      } else if (ctx.done()) {
        co_return ctx.status();
      } else if (custom_ && custom_->withdrawn()) {
        co_return Status::cancelled("its kind is not served any more");
      } else if (bookmarks_ && got.status().is(Reason::kTimeout)) {
        next_bookmark_ = bookmark_time(ctx);
        revision_ = std::max(revision_, events_->progress());
        add_bookmark(false);
      } else {
        events_.reset();
        fail(got.status());
      }
    }
  }

 private:
  using Events = std::vector<std::shared_ptr<const StoreEvent>>;

  Task<Status> take(Context ctx, Events events) {
    const bool converts = custom_ && custom_->converter();
    if (!converts) {
      for (const auto& e : events) translate(*e, present(*kind_, e->object), nullptr);
      co_return Status();
    }
    std::vector<ObjectPtr> shown;
    for (const auto& e : events) {
      shown.push_back(e->object);
      shown.push_back(e->before);
    }
    Status s = co_await show_all(ctx, kind_.get(), &shown);
    if (!s.ok()) co_return s;
    for (size_t i = 0; i < events.size(); ++i) {
      translate(*events[i], shown[2 * i], shown[2 * i + 1]);
    }
    co_return s;
  }

  void fail(Status error) {
    pending_.push_back({WatchItem::Type::kError, nullptr, 0, false, std::move(error)});
  }

  void take_pending(std::vector<WatchItem>& out, size_t limit) {
    while (!pending_.empty() && out.size() < limit) {
      out.push_back(std::move(pending_.front()));
      pending_.pop_front();
    }
  }

  // Upstream's cacher: an object that begins to match is ADDED, one that ceases to is DELETED (as
  // it was, with the revision of the change).
  // `before` is made here unless it is given.
  void translate(const StoreEvent& e, const ObjectPtr& now, ObjectPtr before) {
    if (e.revision <= after_) return;
    revision_ = e.revision;
    const bool simple = selection_->everything() && name_.empty();
    if (e.type == StoreEvent::Type::kDeleted) {
      if (simple || wanted(now)) push(WatchItem::Type::kDeleted, now, e.revision);
      return;
    }
    if (e.type == StoreEvent::Type::kAdded || simple) {
      auto type =
          e.type == StoreEvent::Type::kAdded ? WatchItem::Type::kAdded : WatchItem::Type::kModified;
      if (simple || wanted(now)) push(type, now, e.revision);
      return;
    }
    if (!before && e.before) before = present(*kind_, e.before);
    const bool matched = before && wanted(before), matches = wanted(now);
    if (matches) {
      push(matched ? WatchItem::Type::kModified : WatchItem::Type::kAdded, now, e.revision);
    } else if (matched) {
      push(WatchItem::Type::kDeleted, Object::at_revision(*before, e.revision), e.revision);
    }
  }

  void push(WatchItem::Type type, ObjectPtr object, int64_t revision) {
    pending_.push_back({type, std::move(object), revision, false, {}});
  }

  KindRef kind_;
  std::optional<Selection> selection_;
  std::string name_;
  bool bookmarks_ = false;
  std::unique_ptr<StoreWatch> events_;
  int64_t after_ = 0, revision_ = 0;
  const CustomKinds* custom_ = nullptr;  // of which kind_ is one
  std::optional<Context> waiting_;       // of next(), which the kind's end ends
  std::unique_ptr<Notice::Subscription> ended_;
  std::deque<WatchItem> pending_;
  std::optional<TimePoint> next_bookmark_;
};

// A watch from the beginning is sent what there is, in the form of a streamed list.
void set_defaults(WatchQuery& q) {
  if (q.send_initial_events || !q.resource_version_match.empty()) return;
  if (!q.resource_version.empty() && q.resource_version != "0") return;
  q.send_initial_events = true;
  q.resource_version_match = "NotOlderThan";
}

Status check(const WatchQuery& q) {
  const std::string& match = q.resource_version_match;
  std::vector<StatusCause> causes;
  auto forbid = [&](std::string why) {
    causes.push_back({"FieldValueForbidden", "Forbidden: " + why, "resourceVersionMatch"});
  };
  const bool given = !match.empty(), fits = match == "NotOlderThan";
  if (q.send_initial_events && !fits) {
    forbid("sendInitialEvents requires setting resourceVersionMatch to NotOlderThan");
  }
  if (given && !q.send_initial_events) {
    forbid("resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided");
  }
  if (given && !fits) {
    causes.push_back(
        {"FieldValueNotSupported",
         "Unsupported value: " + quoted(match) + ": supported values: \"NotOlderThan\"",
         "resourceVersionMatch"});
  }
  if (given && !q.continue_.empty()) {
    forbid("resourceVersionMatch is forbidden when continue is provided");
  }
  if (causes.empty()) return {};
  return Status::invalid("meta.k8s.io", "ListOptions", "", std::move(causes));
}

// The stream of a watch that fails when it has begun: upstream answers 200 and an ERROR event.
std::unique_ptr<WatchStream> failed(Status why) {
  return std::make_unique<KindWatch>(std::move(why));
}

}  // namespace

Task<Result<std::unique_ptr<WatchStream>>> Registry::watch(Context ctx, const KindDesc* kind,
                                                           std::string ns, WatchQuery query) {
  set_defaults(query);
  Status bad = check(query);
  if (!bad.ok()) co_return bad;
  auto selection = Selection::parse(*kind, query.label_selector, query.field_selector);
  if (!selection.ok()) co_return selection.status();
  if (!query.name.empty() && !query.field_selector.empty() &&
      selection->only_name() != query.name) {
    co_return Status::bad_request("fieldSelector metadata.name doesn't match requested name");
  }
  auto wanted = parse_revision(query.resource_version);
  if (!wanted.ok()) co_return wanted.status();
  const KindDesc& stored = storage_kind(*kind);
  const std::string prefix = list_prefix(stored, ns);

  const bool send = query.send_initial_events.value_or(false);
  if (!send && *wanted != 0 && buggify(ctx.loop(), "registry.watch_expired", 0.02)) {
    co_return Status::expired("too old resource version: " + query.resource_version);
  }
  // A list has to be as new as it was asked for; who only waits for what comes may wait longer.
  const int64_t present_or_past = std::min(*wanted, store_->revision());
  const int64_t needed = send ? *wanted : present_or_past;
  auto fresh = co_await snapshot_for(ctx, store_, query.resource_version, needed);
  if (!fresh.ok() && ctx.done()) co_return ctx.status();
  if (!fresh.ok()) co_return failed(fresh.status());
  std::shared_ptr<const StoreSnapshot> snapshot = *fresh;
  const bool from_here = send || *wanted == 0;
  int64_t from = from_here ? snapshot->revision() : *wanted;
  WatchPart part = selection->part(*kind, query.name);
  auto events =
      store_->watch(ctx.loop(), prefix, std::min(from, snapshot->revision()), std::move(part));
  if (!events.ok()) {
    Status why = events.status();
    if (why.is(Reason::kExpired)) {
      why = Status::expired("too old resource version: " + std::to_string(from) + " (" +
                            std::to_string(store_->oldest_revision()) + ")");
    }
    co_return failed(why);
  }
  auto out = std::make_unique<KindWatch>(kind, *selection, query.name, query.bookmarks,
                                         std::move(*events), from);
  if (send) {
    const std::string_view only = query.name.empty() ? selection->only_name() : query.name;
    Status hidden = unreadable_in(*snapshot, prefix, only);
    if (!hidden.ok()) co_return failed(hidden);
    std::vector<ObjectPtr> initial;
    snapshot->scan(prefix, prefix, [&](std::string_view, const ObjectPtr& object) {
      initial.push_back(object);
      return true;
    });
    Status shown = co_await show_all(ctx, kind, &initial);
    if (!shown.ok()) co_return shown;
    for (const ObjectPtr& object : initial) out->add_initial(object);
    if (query.bookmarks) out->add_bookmark(true);
  }
  co_return std::unique_ptr<WatchStream>(std::move(out));
}

}  // namespace keles::registry
