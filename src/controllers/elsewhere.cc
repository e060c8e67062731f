#include "controllers/elsewhere.h"

#include <algorithm>
#include <set>

#include "base/encoding.h"
#include "machinery/codec_json.h"
#include "machinery/schema.h"

namespace keles::controllers {
namespace {

bool has_verb(const Value& resource, std::string_view verb) {
  const auto verbs = resource["verbs"].items();
  return std::any_of(verbs.begin(), verbs.end(),
                     [verb](const Value& v) { return v.as_string() == verb; });
}

Status unexpected(const std::string& what, int code) {
  return Status::unavailable(what + ": status code " + std::to_string(code));
}

// A resource that is not there (any more), or not to be asked for so.
bool is_absent(int code) { return code == 404 || code == 405; }

Task<Result<Document>> list(Context ctx, PathsClient* paths, std::string path) {
  auto got = co_await paths->ask(ctx, "GET", path);
  if (!got.ok()) co_return got.status();
  if (is_absent(got->status)) co_return Document();
  if (got->status != 200) co_return unexpected(path, got->status);
  co_return parse_json(got->body);
}

Task<Status> remove(Context ctx, PathsClient* paths, const ElsewhereResource* resource,
                    std::string ns, const Value* items) {
  if (resource->collection) {
    auto gone = co_await paths->ask(ctx, "DELETE", resource->path(ns));
    if (!gone.ok()) co_return gone.status();
    if (gone->status < 300 || is_absent(gone->status)) co_return Status();
    co_return unexpected(resource->path(ns), gone->status);
  }
  for (const Value& o : items->items()) {
    const std::string path =
        resource->path(ns) + "/" + percent_encode(o["metadata"]["name"].as_string());
    auto gone = co_await paths->ask(ctx, "DELETE", path);
    if (!gone.ok()) co_return gone.status();
    if (gone->status >= 300 && !is_absent(gone->status)) co_return unexpected(path, gone->status);
  }
  co_return Status();
}

Task<Status> empty_one(Context ctx, PathsClient* paths, const ElsewhereResource* resource,
                       std::string ns, NamespaceRemains* remains) {
  auto before = co_await list(ctx, paths, resource->path(ns));
  if (!before.ok()) co_return before.status();
  const Value& items = before->root["items"];
  if (items.empty()) co_return Status();
  Status removed = co_await remove(ctx, paths, resource, ns, &items);
  if (!removed.ok()) remains->errors.push_back(removed.message());
  auto after = co_await list(ctx, paths, resource->path(ns));
  if (!after.ok()) co_return after.status();
  for (const Value& o : after->root["items"].items()) {
    ++remains->resources[resource->resource + "." + resource->group];
    for (const Value& f : o["metadata"]["finalizers"].items()) {
      ++remains->finalizers[std::string(f.as_string())];
    }
  }
  co_return Status();
}

}  // namespace

std::string ElsewhereResource::path(const std::string& ns) const {
  return "/apis/" + group + "/" + version + "/namespaces/" + percent_encode(ns) + "/" + resource;
}

Elsewhere read_elsewhere(const Value& discovery) {
  Elsewhere out;
  for (const Value& g : discovery["items"].items()) {
    std::set<std::string_view> known;
    for (const Value& v : g["versions"].items()) {
      const std::string group(g["metadata"]["name"].as_string());
      const std::string version(v["version"].as_string());
      if (v["freshness"].as_string() != "Current") out.stale.push_back(group + "/" + version);
      for (const Value& r : v["resources"].items()) {
        const std::string_view name = r["resource"].as_string();
        if (r["scope"].as_string() != "Namespaced" || !has_verb(r, "list")) continue;
        const bool collection = has_verb(r, "deletecollection");
        if (!collection && !has_verb(r, "delete")) continue;
        if (!known.insert(name).second) continue;
        out.resources.push_back({group, version, std::string(name), collection});
      }
    }
  }
  return out;
}

Task<Status> empty_elsewhere(Context ctx, PathsClient* paths, std::string ns,
                             NamespaceRemains* remains) {
  auto got = co_await paths->ask(ctx, "GET", "/apis");
  if (!got.ok()) co_return got.status();
  auto discovery = parse_json(got->body);
  if (!discovery.ok()) co_return discovery.status();
  Elsewhere there = read_elsewhere(discovery->root);
  remains->undiscovered = there.stale;
  for (const ElsewhereResource& r : there.resources) {
    const bool stale = std::find(there.stale.begin(), there.stale.end(),
                                 r.group + "/" + r.version) != there.stale.end();
    if (stale) continue;  // its server does not answer
    // Discovery of a whole server tells of built-in kinds, too, which the caller has emptied.
    if (find_resource(r.group, r.version, r.resource)) continue;
    Status s = co_await empty_one(ctx, paths, &r, ns, remains);
    if (ctx.done()) co_return ctx.status();
    if (!s.ok()) remains->errors.push_back(s.message());
  }
  co_return Status();
}

}  // namespace keles::controllers
