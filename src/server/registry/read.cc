// get and list.
#include <atomic>
#include <deque>

#include "server/registry/convert.h"
#include "server/registry/keys.h"
#include "server/registry/meta.h"
#include "server/registry/registry.h"
#include "server/registry/selection.h"
#include "server/registry/snapshots.h"
#include "server/registry/tokens.h"

namespace keles::registry {
namespace {

using SnapshotPtr = std::shared_ptr<const StoreSnapshot>;

constexpr std::string_view kContinueExpired =
    "The provided continue parameter is too old to display a consistent list result. You can start "
    "a new list without the continue parameter.";

Status list_options_invalid(std::string field, std::string type, std::string message) {
  return Status::invalid("meta.k8s.io", "ListOptions", "",
                         {{std::move(type), std::move(message), std::move(field)}});
}

Status check_match(const ListQuery& q) {
  const std::string& match = q.resource_version_match;
  if (match.empty()) return {};
  if (q.resource_version.empty()) {
    return list_options_invalid(
        "resourceVersionMatch", "FieldValueForbidden",
        "Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided");
  }
  if (!q.continue_.empty()) {
    return list_options_invalid("resourceVersionMatch", "FieldValueForbidden",
                                "Forbidden: resourceVersionMatch is forbidden for continue");
  }
  if (match != "Exact" && match != "NotOlderThan") {
    return list_options_invalid(
        "resourceVersionMatch", "FieldValueNotSupported",
        "Unsupported value: \"" + match + "\": supported values: \"Exact\", \"NotOlderThan\"");
  }
  if (match == "Exact" && q.resource_version == "0") {
    return list_options_invalid("resourceVersionMatch", "FieldValueForbidden",
                                "Forbidden: resourceVersionMatch \"exact\" is forbidden for "
                                "resourceVersion \"0\"");
  }
  return {};
}

}  // namespace

Result<int64_t> parse_revision(std::string_view text) {
  if (text.empty()) return int64_t{0};
  auto n = to_int(text);
  if (n && *n >= 0) return *n;
  std::string quoted = "\"" + std::string(text) + "\"";
  return Status::bad_request("invalid resource version: resourceVersion: Invalid value: " + quoted +
                             ": strconv.ParseUint: parsing " + quoted + ": invalid syntax");
}

Status too_large(int64_t wanted, int64_t current) {
  StatusDetails details;
  details.causes.push_back({"ResourceVersionTooLarge", "Too large resource version", ""});
  details.retry_after_seconds = 1;
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

Task<Result<ObjectPtr>> Registry::get(Context ctx, const KindDesc* kind, std::string ns,
                                      std::string name, std::string resource_version) {
  auto wanted = parse_revision(resource_version);
  if (!wanted.ok()) co_return wanted.status();
  auto snapshot = co_await snapshot_for(ctx, store_, *wanted);
  if (!snapshot.ok()) co_return snapshot.status();
  const KindDesc& stored = storage_kind(*kind);
  ObjectPtr object = (*snapshot)->get(object_key(stored, ns, name));
  if (!object) co_return not_found(*kind, name);
  co_return present(*kind, object);
}

Task<Result<ListPage>> Registry::list(Context ctx, const KindDesc* kind, std::string ns,
                                      ListQuery query) {
  Status bad = check_match(query);
  if (!bad.ok()) co_return bad;
  auto selection = Selection::parse(*kind, query.label_selector, query.field_selector);
  if (!selection.ok()) co_return selection.status();
  auto wanted = parse_revision(query.resource_version);
  if (!wanted.ok()) co_return wanted.status();

  const KindDesc& stored = storage_kind(*kind);
  std::string prefix = list_prefix(stored, ns), from = prefix;
  SnapshotPtr snapshot;
  WallTime now = ctx.loop().wall_now();
  if (!query.continue_.empty()) {
    if (*wanted != 0) {
      co_return Status::bad_request(
          "specifying resource version is not allowed when using continue");
    }
    auto token = decode_continue(query.continue_);
    if (!token.ok()) co_return token.status();
    from = kind_prefix(stored) + token->start;
    if (from.compare(0, prefix.size(), prefix) != 0) from = prefix + token->start;
    if (token->revision > 0) {
      snapshot = snapshots_->find(token->revision);
      if (!snapshot && token->revision == store_->revision()) snapshot = store_->snapshot();
      if (!snapshot) {
        // The token in the answer lets the client go on, inconsistently, as upstream's does.
        co_return Status::expired(std::string(kContinueExpired));
      }
    } else {
      snapshot = store_->snapshot();
    }
  } else if (query.resource_version_match == "Exact") {
    snapshot = snapshots_->find(*wanted);
    if (!snapshot) {
      auto fresh = co_await snapshot_for(ctx, store_, *wanted);
      if (!fresh.ok()) co_return fresh.status();
      if ((*fresh)->revision() != *wanted) {
        co_return Status::expired("The resourceVersion for the provided list is too old.");
      }
      snapshot = *fresh;
    }
  } else {
    auto fresh = co_await snapshot_for(ctx, store_, *wanted);
    if (!fresh.ok()) co_return fresh.status();
    snapshot = *fresh;
  }

  ListPage page;
  page.revision = snapshot->revision();
  std::string last, next;
  bool more = false;
  int64_t rest = 0;
  const bool all = selection->everything(), convert_each = &stored != kind;
  snapshot->scan(prefix, from, [&](std::string_view key, const ObjectPtr& object) {
    if (query.limit > 0 && static_cast<int64_t>(page.items.size()) >= query.limit) {
      more = true;
      ++rest;
      return all;  // counts the remaining ones, which only an unselective list reports
    }
    ObjectPtr shown = convert_each ? present(*kind, object) : object;
    if (all || selection->matches(shown)) {
      page.items.push_back(std::move(shown));
      last = key;
    }
    return true;
  });
  if (more) {
    snapshots_->keep(snapshot, now);
    last.erase(0, kind_prefix(stored).size());
    page.continue_ = encode_continue(page.revision, last + '\0');
    if (all) page.remaining = rest;
  }
  co_return page;
}

}  // namespace keles::registry
