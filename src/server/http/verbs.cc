// The verbs on resources: options and bodies in, the ApiServer's answer out.
#include <algorithm>

#include "machinery/codec_json.h"
#include "machinery/codec_protobuf.h"
#include "machinery/codec_yaml.h"
#include "machinery/decode.h"
#include "machinery/kind_facts.h"
#include "machinery/patch.h"
#include "server/http/exchange.h"
#include "server/http/front.h"
#include "server/http/pieces.h"
#include "server/http/watch_websocket.h"
#include "server/objects/meta.h"

namespace keles::server {
namespace {

// The options' name in errors: those of a create, an update, a patch or a delete.
std::string options_kind(const Exchange& x) {
  const std::string& verb = x.info.verb;
  if (verb == "update") return "UpdateOptions";
  if (verb == "patch") return "PatchOptions";
  return verb.starts_with("delete") ? "DeleteOptions" : "CreateOptions";
}

Result<FieldValidation> field_validation(const Exchange& x) {
  const std::string* v = x.query.find("fieldValidation");
  if (!v || v->empty() || *v == "Warn") return FieldValidation::kWarn;
  if (*v == "Strict") return FieldValidation::kStrict;
  if (*v == "Ignore") return FieldValidation::kIgnore;
  return Status::invalid("meta.k8s.io", options_kind(x), "",
                         {{"FieldValueNotSupported",
                           "Unsupported value: \"" + *v +
                               "\": supported values: \"\", \"Ignore\", \"Strict\", \"Warn\"",
                           "fieldValidation"}});
}

Result<registry::WriteRequest> write_request(Exchange* x) {
  registry::WriteRequest how;
  const Caller& caller = x->caller();
  how.user = caller.name;
  how.groups = caller.groups;
  how.uid = caller.uid;
  how.extra = caller.extra;
  how.warnings = &x->warnings;
  TRY_ASSIGN(validation, field_validation(*x));
  how.validation = validation;
  if (x->query.get("fieldManager").size() > 128) {
    return Status::invalid(
        "meta.k8s.io", options_kind(*x), "",
        {{"FieldValueTooLong", "Too long: may not be more than 128 bytes", "fieldManager"}});
  }
  const std::vector<std::string> dry_run = x->query.get_all("dryRun");
  if (auto bad = registry::check_dry_run(dry_run)) {
    return Status::invalid("meta.k8s.io", options_kind(*x), "", {std::move(*bad)});
  }
  how.dry_run = !dry_run.empty();
  return how;
}

Result<Document> decode(Exchange* x, const KindDesc& kind, FieldValidation validation) {
  TRY_ASSIGN(format, body_format(x->header("Content-Type")));
  const std::string& body = x->request->body;
  if (format == Format::kProtobuf && kind.owner) {
    return Status(Reason::kUnsupportedMediaType,
                  "the body of the request was in an unknown format - accepted media types "
                  "include: application/json, application/yaml");
  }
  if (format != Format::kYaml) return decode_body(kind, body, validation, &x->warnings);
  std::vector<std::string> duplicates;
  YamlOptions options;
  options.duplicates = &duplicates;
  auto doc = parse_yaml(body, options);
  if (!doc.ok()) return unrecognized_body(kind, body, doc.status().message());
  if (!kind.bare) TRY(check_body_kind(kind, body, *doc));
  TRY(decode_object(kind, *doc, validation, duplicates, &x->warnings));
  return doc;
}

// What a create or an update brings: the object, and how it is to be taken.
struct WholeObject {
  registry::WriteRequest how;
  Document body;
};
Result<WholeObject> whole_object(Exchange* x) {
  TRY_ASSIGN(how, write_request(x));
  const KindDesc* kind = ApiServer::body_kind(*x->kind, x->info.subresource);
  if (!kind) return Status::bad_request("");
  TRY_ASSIGN(body, decode(x, *kind, how.validation));
  return WholeObject{std::move(how), std::move(body)};
}

Result<int64_t> integer_option(const std::string& text) {
  auto n = registry::to_int(text);
  if (n) return *n;
  return Status::bad_request("strconv.ParseInt: parsing \"" + text + "\": invalid syntax");
}

Status wrong_patch(PatchType type, const Value& v) {
  const bool list = type == PatchType::kJson;
  if (list ? v.is_list() : v.is_map()) return {};
  const char* what = v.is_list()     ? "array"
                     : v.is_map()    ? "object"
                     : v.is_string() ? "string"
                     : v.is_bool()   ? "bool"
                                     : "number";
  std::string why = "json: cannot unmarshal " + std::string(what) + " into Go value of type " +
                    (list ? "[]handlers.jsonPatchOp" : "map[string]interface {}");
  return Status::bad_request(why);
}

// A patch: a tree that is not checked against a kind. Duplicate fields are warned of or refused.
Result<Document> decode_patch(Exchange* x, PatchType type, FieldValidation validation) {
  const std::string& body = x->request->body;
  if (type == PatchType::kApply) return parse_yaml(body);
  std::vector<std::string> duplicates;
  JsonOptions options;
  if (validation != FieldValidation::kIgnore) options.duplicates = &duplicates;
  auto doc = parse_json(body, options);
  Status bad = doc.ok() ? wrong_patch(type, doc->root) : doc.status();
  if (!bad.ok()) {
    const char* prefix = type == PatchType::kStrategicMerge ? "" : "error decoding patch: ";
    return Status::bad_request(prefix + bad.message());
  }
  std::string all;
  for (std::string& d : duplicates) {
    std::string problem =
        (type == PatchType::kJson ? "json patch duplicate field \"" : "duplicate field \"") + d +
        '"';
    if (validation == FieldValidation::kWarn) {
      x->warnings.push_back(std::move(problem));
    } else {
      all += (all.empty() ? "" : ", ") + problem;
    }
  }
  if (all.empty()) return doc;
  return refused_patch(type, doc->root, doc->root, "strict decoding error: " + all);
}

std::string text_of(const Value& v) { return std::string(v.as_string()); }

// DeleteOptions from the body, else from the query.
Result<registry::DeleteRequest> delete_request(Exchange* x, registry::WriteRequest& how) {
  registry::DeleteRequest out;
  const Query& q = x->query;
  if (x->request->body.empty()) {
    if (const std::string* v = q.find("gracePeriodSeconds")) {
      TRY_ASSIGN(n, integer_option(*v));
      out.grace_period_seconds = n;
    }
    if (q.find("orphanDependents")) out.orphan_dependents = q.flag("orphanDependents");
    out.propagation_policy = q.get("propagationPolicy");
    out.ignore_store_read_error = q.flag("ignoreStoreReadErrorWithClusterBreakingPotential");
    if (how.dry_run) out.dry_run.emplace_back("All");
    return out;
  }
  static const KindDesc* const kOptions = find_kind("", "v1", "DeleteOptions");
  TRY_ASSIGN(format, body_format(x->header("Content-Type")));
  Document doc;
  if (format == Format::kProtobuf) {
    TRY_ASSIGN(d, decode_object_protobuf(*kOptions, x->request->body));
    doc = std::move(d);
  } else {
    auto d = format == Format::kYaml ? parse_yaml(x->request->body) : parse_json(x->request->body);
    if (!d.ok()) {
      return Status::bad_request("couldn't get version/kind; json parse error: " +
                                 d.status().message());
    }
    doc = std::move(*d);
    if (doc.root.is_null()) doc.root = Value::map();
    if (std::string_view kind = doc.root["kind"].as_string();
        !doc.root.is_map() || (!kind.empty() && kind != "DeleteOptions")) {
      return Status::bad_request("no kind \"" + std::string(kind) +
                                 "\" is registered for version \"" +
                                 text_of(doc.root["apiVersion"]) + "\"");
    }
    TRY(normalize(*kOptions->type, doc));
  }
  out = registry::read_delete_options(doc.root);
  // A dry run asked for on either side is one: what nobody wanted deleted stays.
  if (how.dry_run && out.dry_run.empty()) out.dry_run.emplace_back("All");
  return out;
}

Result<registry::ListQuery> list_query(const Exchange& x) {
  registry::ListQuery q;
  q.label_selector = x.query.get("labelSelector");
  q.field_selector = x.query.get("fieldSelector");
  q.resource_version = x.query.get("resourceVersion");
  q.resource_version_match = x.query.get("resourceVersionMatch");
  q.continue_ = x.query.get("continue");
  if (std::string limit = x.query.get("limit"); !limit.empty()) {
    TRY_ASSIGN(n, integer_option(limit));
    q.limit = std::max<int64_t>(n, 0);
  }
  if (std::string seconds = x.query.get("timeoutSeconds"); !seconds.empty()) {
    TRY(integer_option(seconds).status());
  }
  if (x.query.find("sendInitialEvents")) {
    return Status::invalid(
        "meta.k8s.io", "ListOptions", "",
        {{"FieldValueForbidden", "Forbidden: sendInitialEvents is forbidden for list",
          "sendInitialEvents"}});
  }
  return q;
}

}  // namespace

Task<void> Front::get(Context ctx, Exchange* x) {
  const RequestInfo& i = x->info;
  auto got = co_await server_->get(ctx, x->kind, i.ns, i.name, i.subresource,
                                   x->query.get("resourceVersion"));
  if (!got.ok()) {
    co_await x->fail(got.status());
    co_return;
  }
  co_await x->answer_object(ctx, 200, *got);
}

Task<void> Front::list(Context ctx, Exchange* x) {
  auto query = list_query(*x);
  if (!query.ok()) {
    co_await x->fail(query.status());
    co_return;
  }
  query->in_stretches = is_shared_form(x->rendering);
  auto page = co_await server_->registry().list(ctx, x->kind, x->info.ns, std::move(*query));
  if (!page.ok()) {
    co_await x->fail(page.status());
    co_return;
  }
  co_await x->answer_list(ctx, std::move(*page));
}

Task<void> Front::watch(Context ctx, Exchange* x) {
  registry::WatchQuery q;
  q.label_selector = x->query.get("labelSelector");
  q.field_selector = x->query.get("fieldSelector");
  q.resource_version = x->query.get("resourceVersion");
  q.resource_version_match = x->query.get("resourceVersionMatch");
  q.bookmarks = x->query.flag("allowWatchBookmarks");
  if (x->query.find("sendInitialEvents"))
    q.send_initial_events = x->query.flag("sendInitialEvents");
  q.name = x->info.name;
  int64_t seconds = 0;
  if (std::string text = x->query.get("timeoutSeconds"); !text.empty()) {
    auto n = integer_option(text);
    if (!n.ok()) {
      co_await x->fail(n.status());
      co_return;
    }
    seconds = *n;
  }
  if (seconds <= 0) seconds = ctx.loop().random().between(1800, 3600);
  auto stream = co_await server_->registry().watch(ctx, x->kind, x->info.ns, std::move(q));
  if (!stream.ok()) {
    co_await x->fail(stream.status());
    co_return;
  }
  x->code = 200;
  const bool protobuf = x->rendering.accepted.format == Format::kProtobuf;
  x->rendering.accepted.format = protobuf ? Format::kProtobuf : Format::kJson;
  x->rendering.pretty = false;
  if (is_websocket(*x)) {
    Context limit = ctx.with_timeout(std::chrono::seconds(seconds));
    co_await watch_over_websocket(limit, x, stream->get());
    co_return;
  }
  net::Headers h = x->headers(protobuf ? "application/vnd.kubernetes.protobuf;stream=watch"
                                       : "application/json");
  Status s = co_await x->responder->begin(200, std::move(h));
  Context until = ctx.with_timeout(std::chrono::seconds(seconds));
  bool first = true, over = !s.ok();
  while (!over) {
    auto items = co_await (*stream)->next(until, 256);
    if (!items.ok()) break;
    x->rendering.now = ctx.loop().wall_now();
    Parts parts;
    size_t bytes = 0;
    for (const registry::WatchItem& item : *items) {
      for (Part& p : render_event(*x->kind, item, x->rendering, first)) {
        bytes += p->size();
        parts.push_back(std::move(p));
      }
      first = false;
      over |= item.type == registry::WatchItem::Type::kError;
      if (bytes < ListPieces::kBytes) continue;
      // A full batch of large objects is written as it is made.
      Parts full = std::exchange(parts, Parts());
      s = co_await x->responder->write(std::move(full));
      bytes = 0;
      if (!s.ok()) break;
    }
    if (s.ok()) s = co_await x->responder->write(std::move(parts));
    over |= !s.ok();
  }
  if (s.ok()) s = co_await x->responder->finish();
}

Task<void> Front::create(Context ctx, Exchange* x) {
  const RequestInfo& i = x->info;
  auto sent = whole_object(x);
  if (!sent.ok()) {
    co_await x->fail(sent.status());
    co_return;
  }
  auto made = co_await server_->create(ctx, &x->caller(), x->kind, i.ns, i.name, i.subresource,
                                       std::move(sent->body), std::move(sent->how));
  if (!made.ok()) {
    co_await x->fail(made.status());
    co_return;
  }
  if (!*made) {
    StatusDetails none;
    co_await x->succeed(201, std::move(none));
    co_return;
  }
  co_await x->answer_object(ctx, 201, *made);
}

Task<void> Front::update(Context ctx, Exchange* x) {
  const RequestInfo& i = x->info;
  auto sent = whole_object(x);
  if (!sent.ok()) {
    co_await x->fail(sent.status());
    co_return;
  }
  bool created = false;
  auto done = co_await server_->update(ctx, &x->caller(), x->kind, i.ns, i.name, i.subresource,
                                       std::move(sent->body), std::move(sent->how), &created);
  if (!done.ok()) {
    co_await x->fail(done.status());
    co_return;
  }
  const int code = created ? 201 : 200;
  co_await x->answer_object(ctx, code, *done);
}

Task<void> Front::patch(Context ctx, Exchange* x) {
  const RequestInfo& i = x->info;
  auto how = write_request(x);
  auto type = patch_type_of(media_type(x->header("Content-Type")));
  if (!type.ok() || !how.ok()) {
    Status bad = type.ok() ? how.status() : type.status();
    co_await x->fail(bad);
    co_return;
  }
  auto body = decode_patch(x, *type, how->validation);
  if (!body.ok()) {
    co_await x->fail(body.status());
    co_return;
  }
  auto done = co_await server_->patch(ctx, &x->caller(), x->kind, i.ns, i.name, i.subresource,
                                      *type, std::move(*body), std::move(*how));
  if (!done.ok()) {
    co_await x->fail(done.status());
    co_return;
  }
  co_await x->answer_object(ctx, 200, *done);
}

Task<void> Front::remove(Context ctx, Exchange* x) {
  const RequestInfo& i = x->info;
  auto how = write_request(x);
  Result<registry::DeleteRequest> request = Status::bad_request("");
  if (how.ok()) request = delete_request(x, *how);
  Status bad = !how.ok() ? how.status() : request.status();
  if (!bad.ok()) {
    co_await x->fail(bad);
    co_return;
  }
  // What cannot be read goes without its finalizers and guards: a right of its own (KEP-3926).
  if (request->ignore_store_read_error) {
    Access unsafe;
    unsafe.verb = "unsafe-delete-ignore-read-errors";
    unsafe.group = i.group;
    unsafe.version = i.version;
    unsafe.resource = i.resource;
    unsafe.ns = i.ns;
    unsafe.name = i.name;
    Status allowed = server_->auth().authorize(x->caller(), unsafe);
    if (!allowed.ok()) {
      co_await x->fail(allowed);
      co_return;
    }
  }
  auto done = co_await server_->registry().remove(ctx, x->kind, i.ns, i.name, std::move(*request),
                                                  std::move(*how));
  if (!done.ok()) {
    co_await x->fail(done.status());
    co_return;
  }
  if (!done->object || (done->gone && !x->kind->facts->returns_deleted)) {
    StatusDetails details;
    details.name = i.name;
    details.group = i.group;
    details.kind = i.resource;
    if (done->object) details.uid = done->object->uid();
    co_await x->succeed(200, std::move(details));
    co_return;
  }
  co_await x->answer_object(ctx, 200, done->object);
}

Task<void> Front::remove_collection(Context ctx, Exchange* x) {
  auto how = write_request(x);
  auto query = list_query(*x);
  Result<registry::DeleteRequest> request = Status::bad_request("");
  if (how.ok()) request = delete_request(x, *how);
  Status bad = !how.ok() ? how.status() : !query.ok() ? query.status() : request.status();
  if (!bad.ok()) {
    co_await x->fail(bad);
    co_return;
  }
  auto page = co_await server_->registry().remove_collection(
      ctx, x->kind, x->info.ns, std::move(*query), std::move(*request), std::move(*how));
  if (!page.ok()) {
    co_await x->fail(page.status());
    co_return;
  }
  co_await x->answer_list(ctx, std::move(*page));
}

}  // namespace keles::server
