// get and list.
#include <algorithm>

#include "base/encoding.h"
#include "machinery/continue_cause.h"
#include "machinery/custom_kind.h"
#include "machinery/kind_facts.h"
#include "server/objects/keys.h"
#include "server/objects/meta.h"
#include "server/registry/convert.h"
#include "server/registry/registry.h"
#include "server/registry/selection.h"
#include "server/registry/snapshots.h"
#include "server/registry/tokens.h"
#include "server/turns/turns.h"
#include "store/unreadable.h"

namespace keles::registry {
namespace {

using SnapshotPtr = std::shared_ptr<const StoreSnapshot>;

constexpr std::string_view kListExpired = "The resourceVersion for the provided list is too old.";
constexpr std::string_view kContinueExpired =
    "The provided continue parameter is too old to display a consistent list result. You can start "
    "a new list without the continue parameter, or use the continue token in this response to "
    "retrieve the remainder of the results. Continuing with the provided token results in an "
    "inconsistent list - objects that were created, modified, or deleted between the time the "
    "first chunk was returned and now may show up in the list.";

Status check(const ListQuery& q) {
  const std::string& match = q.resource_version_match;
  std::vector<StatusCause> causes;
  auto forbid = [&](std::string why, const char* field = "resourceVersionMatch") {
    causes.push_back({"FieldValueForbidden", "Forbidden: " + why, field});
  };
  const bool given = !match.empty();
  if (given && q.resource_version.empty()) {
    forbid("resourceVersionMatch is forbidden unless resourceVersion is provided");
  }
  if (given && !q.continue_.empty()) {
    forbid("resourceVersionMatch is forbidden when continue is provided");
  }
  if (given && match != "Exact" && match != "NotOlderThan") {
    causes.push_back({"FieldValueNotSupported",
                      "Unsupported value: " + quoted(match) +
                          ": supported values: \"Exact\", \"NotOlderThan\", \"\"",
                      "resourceVersionMatch"});
  }
  if (match == "Exact" && q.resource_version == "0") {
    forbid("resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"");
  }
  if (q.sends_initial_events) {
    forbid("sendInitialEvents is forbidden for list", "sendInitialEvents");
  }
  if (causes.empty()) return {};
  return Status::invalid("meta.k8s.io", "ListOptions", "", std::move(causes));
}

// 410, with a token by which the client can go on in the newest state.
Status continue_expired(const std::string& start) {
  StatusDetails details;
  details.causes.push_back({"", encode_continue(-1, start), std::string(kContinueCause)});
  return Status(Reason::kExpired, std::string(kContinueExpired), std::move(details));
}

// Whether the stretches' own texts are those of the kind: they are of what wrote the objects.
bool are_all(const KindDesc& kind, const std::vector<ObjectStretch>& stretches) {
  if (!kind.owner) return true;
  for (const ObjectStretch& s : stretches) {
    for (size_t i = s.from; i < s.to; ++i) {
      if (&(*s.run)[i]->kind() != &kind) return false;
    }
  }
  return true;
}

// Scans from `*at` to the end, or until it has taken so long that others should have a turn: then
// it has paused, at the key to go on with.
template <class F>
void scan_some(const StoreSnapshot& snapshot, std::string_view prefix, const server::Turn* turn,
               Loop& loop, std::string* at, bool* paused, F& fn) {
  constexpr int kBetweenLooks = 32;  // at the clock
  const TimePoint began = loop.now();
  const std::string from = *at;
  int n = 0;
  snapshot.scan(prefix, from, [&](std::string_view key, const ObjectPtr& object) {
    if (turn && ++n % kBetweenLooks == 0 && turn->over(began)) {
      *at = key;
      *paused = true;
      return false;
    }
    return fn(key, object);
  });
}

}  // namespace

Result<int64_t> parse_revision(std::string_view text) {
  if (text.empty()) return int64_t{0};
  auto n = to_int(text);
  if (n && *n >= 0) return *n;
  const std::string shown = quoted(text);
  const bool digits = text.find_first_not_of("0123456789") == text.npos;
  // Upstream's lists class this (list_start), its gets and watches do not.
  return Status(Reason::kUnknown, "resourceVersion: Invalid value: " + shown +
                                      ": strconv.ParseUint: parsing " + shown +
                                      (digits ? ": value out of range" : ": invalid syntax"));
}

Status too_large(int64_t wanted, int64_t current, int retry_after_seconds) {
  StatusDetails details;
  details.causes.push_back({"ResourceVersionTooLarge", "Too large resource version", ""});
  details.retry_after_seconds = retry_after_seconds;
  return Status(Reason::kTimeout,
                "Timeout: Too large resource version: " + std::to_string(wanted) +
                    ", current: " + std::to_string(current),
                std::move(details));
}

Task<Result<SnapshotPtr>> snapshot_for(Context ctx, Store* store, int64_t revision) {
  if (revision <= store->revision()) co_return store->snapshot();
  auto got = co_await store->snapshot_at_least(ctx.with_timeout(3s), revision);
  if (!got.ok()) {
    if (ctx.done()) co_return ctx.status();
    co_return too_large(revision, store->revision());
  }
  co_return *got;
}

Task<Result<SnapshotPtr>> snapshot_for(Context ctx, Store* store, std::string_view resource_version,
                                       int64_t revision) {
  if (resource_version.empty() && store->shared()) return store->newest(std::move(ctx));
  return snapshot_for(std::move(ctx), store, revision);
}

Task<Result<ObjectPtr>> Registry::get(Context ctx, const KindDesc* kind, std::string ns,
                                      std::string name, std::string resource_version) {
  auto wanted = parse_revision(resource_version);
  if (!wanted.ok()) co_return wanted.status();
  if (kind->facts->computed) {
    auto all = co_await computed(ctx, kind, ns, name);
    if (!all.ok()) co_return all.status();
    for (const ObjectPtr& o : *all) {
      if (o->name() == name) co_return o;
    }
    co_return not_found(*kind, name);
  }
  SnapshotPtr snapshot = store_->snapshot();
  const bool newest = resource_version.empty() && store_->shared();
  if (newest || snapshot->revision() < *wanted) {
    auto later = co_await snapshot_for(ctx, store_, resource_version, *wanted);
    if (!later.ok()) co_return later.status();
    snapshot = *later;
  }
  const KindDesc& stored = storage_kind(*kind);
  const std::string key = object_key(stored, ns, name);
  ObjectPtr object = snapshot->get(key);
  if (object && kind->owner) co_return co_await show(ctx, kind, object);
  if (object) co_return present(*kind, object);
  Status hidden = unreadable_in(*snapshot, list_prefix(stored, ns), name);
  if (!hidden.ok()) co_return hidden;
  co_return not_found(*kind, name);
}

// The state at exactly that revision; kExpired when it is forgotten.
Task<Result<SnapshotPtr>> Registry::snapshot_at(Context ctx, std::string prefix, int64_t revision) {
  // A state to come is not waited for: nobody can have seen it.
  auto newest = co_await store_->newest(ctx);
  if (!newest.ok()) co_return newest.status();
  const int64_t now = (*newest)->revision();
  if (revision > now) co_return too_large(revision, now, 0);
  if (revision < horizon_->oldest(now, ctx.loop().wall_now())) {
    co_return Status::expired(std::string(kListExpired));
  }
  if (revision == now) co_return *newest;
  if (SnapshotPtr kept = store_->kept(revision)) co_return kept;
  auto past = co_await past_snapshot(ctx, store_, std::move(prefix), revision);
  if (past.status().is(Reason::kExpired)) co_return Status::expired(std::string(kListExpired));
  co_return past;
}

void Registry::forget_past(WallTime now) {
  store_->forget_kept(horizon_->oldest(store_->revision(), now));
}

// Which state a list is of (upstream's table of resourceVersion, resourceVersionMatch, limit and
// continue): the newest, one not older than a revision, or exactly one. With a limit, a revision
// without a match parameter means exactly that one.
Task<Result<Registry::ListStart>> Registry::list_start(Context ctx, const KindDesc* stored,
                                                       std::string prefix, ListQuery query) {
  ListStart out;
  out.from = prefix;
  int64_t exact = 0;
  auto wanted = parse_revision(query.resource_version);
  if (!query.continue_.empty()) {
    auto token = decode_continue(query.continue_);
    if (!token.ok()) co_return token.status();
    if (!query.resource_version.empty() && query.resource_version != "0") {
      co_return Status::bad_request(
          "specifying resource version is not allowed when using continue");
    }
    out.from = kind_prefix(*stored) + token->start;
    if (out.from.compare(0, prefix.size(), prefix) != 0) out.from = prefix + token->start;
    exact = std::max<int64_t>(token->revision, 0);
  } else if (!wanted.ok()) {
    co_return Status::bad_request("invalid resource version: " + wanted.status().message());
  } else if (query.resource_version_match == "Exact" ||
             (query.resource_version_match.empty() && query.limit > 0)) {
    exact = *wanted;
  }
  Result<SnapshotPtr> snapshot = SnapshotPtr();
  if (exact > 0) {
    snapshot = co_await snapshot_at(ctx, prefix, exact);
  } else {
    snapshot = co_await snapshot_for(ctx, store_, query.resource_version, *wanted);
  }
  if (!snapshot.ok() && snapshot.status().is(Reason::kExpired) && !query.continue_.empty()) {
    co_return continue_expired(out.from.substr(kind_prefix(*stored).size()));
  }
  if (!snapshot.ok()) co_return snapshot.status();
  out.snapshot = *snapshot;
  co_return out;
}

// A list of a kind whose older objects only its webhook can convert: some at a time, the selectors
// being asked of what comes back.
Task<Result<ListPage>> Registry::list_converted(Context ctx, const KindDesc* kind,
                                                std::string prefix, ListStart start,
                                                Selection selection, int64_t limit) {
  constexpr size_t kAtOnce = 500;
  const std::string home = kind_prefix(*kind);
  const SnapshotPtr snapshot = start.snapshot;
  ListPage page;
  page.revision = snapshot->revision();
  std::string from = start.from, last;
  bool more = true;
  while (more) {
    std::vector<ObjectPtr> objects;
    std::vector<std::string> keys;
    const bool full = limit > 0 && static_cast<int64_t>(page.items.size()) >= limit;
    more = false;
    snapshot->scan(prefix, from, [&](std::string_view key, const ObjectPtr& object) {
      if (full || objects.size() == kAtOnce) {
        more = true;
        return false;
      }
      objects.push_back(object);
      keys.emplace_back(key);
      return true;
    });
    if (full && more) {
      store_->keep(snapshot);
      horizon_->oldest(store_->revision(), ctx.loop().wall_now());
      page.continue_ = encode_continue(page.revision, last.substr(home.size()) + '\0');
    }
    if (full) break;
    Status s = co_await show_all(ctx, kind, &objects);
    if (!s.ok()) co_return s;
    for (size_t i = 0; i < objects.size(); ++i) {
      if (limit > 0 && static_cast<int64_t>(page.items.size()) >= limit) {
        more = true;
        break;
      }
      last = keys[i];
      if (selection.matches(objects[i])) page.items.push_back(std::move(objects[i]));
    }
    from = last + '\0';
  }
  co_return page;
}

Task<Result<ListPage>> Registry::list(Context ctx, const KindDesc* kind, std::string ns,
                                      ListQuery query) {
  Status bad = check(query);
  if (!bad.ok()) co_return bad;
  auto selection = Selection::parse(*kind, query.label_selector, query.field_selector);
  if (!selection.ok()) co_return selection.status();
  if (kind->facts->computed) {
    ListPage page;
    page.revision = store_->revision();
    auto all = co_await computed(ctx, kind, std::move(ns), "");
    if (!all.ok()) co_return all.status();
    page.items = std::move(*all);
    std::erase_if(page.items, [&](const ObjectPtr& o) { return !selection->matches(o); });
    co_return page;
  }
  const KindDesc& stored = storage_kind(*kind);
  const std::string prefix = list_prefix(stored, ns);
  const WallTime now = ctx.loop().wall_now();
  auto start = co_await list_start(ctx, &stored, prefix, query);
  if (!start.ok()) co_return start.status();
  const std::string from = start->from;
  const SnapshotPtr snapshot = start->snapshot;
  // Whatever the selectors are: nobody knows whether what cannot be read matches.
  Status hidden = unreadable_in(*snapshot, prefix, selection->only_name());
  if (!hidden.ok()) co_return hidden;
  // "Any" state is answered whole, as upstream's cache does.
  if (query.resource_version == "0" && query.continue_.empty()) query.limit = 0;

  if (const CustomKinds* custom = custom_kinds(*kind); custom && custom->converter()) {
    co_return co_await list_converted(ctx, kind, prefix, *start, *selection, query.limit);
  }
  ListPage page;
  page.revision = snapshot->revision();
  std::string last, at = from;
  bool more = false, paused = true;
  int64_t rest = 0;
  const bool all = selection->everything(), convert_each = &stored != kind;
  if (query.in_stretches && all && !convert_each && query.limit == 0 && from == prefix) {
    if (auto found = snapshot->stretches(prefix); found && are_all(*kind, *found)) {
      page.stretches = std::move(*found);
      co_return page;
    }
  }
  auto take = [&](std::string_view key, const ObjectPtr& object) {
    if (query.limit > 0 && static_cast<int64_t>(page.items.size()) >= query.limit) {
      more = true;
      ++rest;
      return all;  // counts the remaining ones, which only an unselective list reports
    }
    ObjectPtr shown = convert_each || kind->owner ? present(*kind, object) : object;
    if (all || selection->matches(shown)) {
      page.items.push_back(std::move(shown));
      last = key;
    }
    return true;
  };
  while (paused) {
    paused = false;
    scan_some(*snapshot, prefix, query.turn, ctx.loop(), &at, &paused, take);
    if (!paused) break;
    co_await query.turn->next();
    if (ctx.done()) co_return ctx.status();
  }
  if (more) {
    store_->keep(snapshot);
    horizon_->oldest(store_->revision(), now);
    last.erase(0, kind_prefix(stored).size());
    page.continue_ = encode_continue(page.revision, last + '\0');
    if (all) page.remaining = rest;
  }
  co_return page;
}

}  // namespace keles::registry
