// The verbs on resources: options and bodies in, the ApiServer's answer out.
#include <algorithm>

#include "base/encoding.h"
#include "machinery/apply/managed.h"
#include "machinery/codec_json.h"
#include "machinery/codec_protobuf.h"
#include "machinery/codec_yaml.h"
#include "machinery/decode.h"
#include "machinery/kind_facts.h"
#include "machinery/patch.h"
#include "server/http/auditing.h"
#include "server/http/exchange.h"
#include "server/http/front.h"
#include "server/http/options.h"
#include "server/http/pieces.h"
#include "server/http/request_metrics.h"
#include "server/http/shared_event.h"
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

std::optional<FieldValidation> field_validation(std::string_view v) {
  if (v.empty() || v == "Warn") return FieldValidation::kWarn;
  if (v == "Strict") return FieldValidation::kStrict;
  if (v == "Ignore") return FieldValidation::kIgnore;
  return std::nullopt;
}

// What is wrong with the options of a create, an update or a patch, in upstream's order.
Status check_options(const Exchange& x, std::optional<PatchType> patch) {
  std::vector<StatusCause> causes;
  const std::string manager = x.query.get("fieldManager");
  if (patch == PatchType::kApply) {
    if (manager.empty()) {
      causes.push_back(
          {"FieldValueRequired", "Required value: is required for apply patch", "fieldManager"});
    }
  } else if (patch && x.query.find("force")) {
    causes.push_back(
        {"FieldValueForbidden", "Forbidden: may not be specified for non-apply patch", "force"});
  }
  check_field_manager(causes, manager);
  if (auto bad = registry::check_dry_run(x.query.get_all("dryRun"))) {
    causes.push_back(std::move(*bad));
  }
  const std::string validation = x.query.get("fieldValidation");
  if (!field_validation(validation)) {
    causes.push_back({"FieldValueNotSupported",
                      "Unsupported value: " + quoted(validation) +
                          ": supported values: \"\", \"Ignore\", \"Strict\", \"Warn\"",
                      "fieldValidation"});
  }
  if (causes.empty()) return {};
  return Status::invalid("meta.k8s.io", options_kind(x), "", std::move(causes));
}

// Into its place: it is large to hand on.
Status write_request(Exchange* x, registry::WriteRequest* out,
                     std::optional<PatchType> patch = std::nullopt) {
  TRY(check_options(*x, patch));
  x->write_request(out);
  registry::WriteRequest& how = *out;
  how.validation = *field_validation(x->query.get("fieldValidation"));
  // Under whose name the write counts: fieldManager, else the client's name.
  how.field_manager = x->query.get("fieldManager");
  if (how.field_manager.empty()) {
    how.field_manager = apply::manager_of_agent(x->header("User-Agent"));
  }
  how.force = patch == PatchType::kApply && x->query.flag("force");
  return Status();
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
  WholeObject out;
  TRY(write_request(x, &out.how));
  const KindDesc* kind = ApiServer::body_kind(*x->kind, x->info.subresource);
  if (!kind) return Status::bad_request("");
  TRY_ASSIGN(body, decode(x, *kind, out.how.validation));
  out.body = std::move(body);
  audit_request(x, *kind, out.body, true);
  return out;
}

Result<int64_t> integer_option(const std::string& text) {
  auto n = registry::to_int(text);
  if (n) return *n;
  const size_t digits = text.starts_with('-') || text.starts_with('+') ? 1 : 0;
  const bool number =
      text.size() > digits && text.find_first_not_of("0123456789", digits) == std::string::npos;
  return Status::bad_request("strconv.ParseInt: parsing " + quoted(text) +
                             (number ? ": value out of range" : ": invalid syntax"));
}

// The words of an apply: YAML, of which JSON is a part.
Result<Document> decode_config(Exchange* x, FieldValidation validation) {
  std::vector<std::string> duplicates;
  YamlOptions options;
  options.duplicates = &duplicates;
  auto doc = parse_yaml(x->request->body, options);
  if (!doc.ok()) return Status::bad_request("error decoding YAML: " + doc.status().message());
  if (doc->root.is_null()) doc->root = Value::map();
  if (!doc->root.is_map()) {
    const char* what = doc->root.is_list() ? "array" : doc->root.is_string() ? "string" : "number";
    return Status::bad_request(
        "error decoding YAML: error unmarshaling JSON: while decoding JSON: "
        "json: cannot unmarshal " +
        std::string(what) + " into Go value of type map[string]interface {}");
  }
  if (duplicates.empty() || validation == FieldValidation::kIgnore) return doc;
  std::string all;
  for (const std::string& d : duplicates) all += "\n  " + d;
  all = "yaml: unmarshal errors:" + all;
  if (validation == FieldValidation::kStrict) {
    return Status::bad_request("error strict decoding YAML: error converting YAML to JSON: " + all);
  }
  x->warnings.push_back("error converting YAML to JSON: " + all);
  return doc;
}

// A patch: a tree that is not checked against a kind. Duplicate fields are warned of or refused
// together with what the outcome is found to have.
Result<Document> decode_patch(Exchange* x, PatchType type, registry::WriteRequest& how) {
  const std::string& body = x->request->body;
  if (type == PatchType::kApply) return decode_config(x, how.validation);
  std::vector<std::string> duplicates;
  JsonOptions options;
  if (how.validation != FieldValidation::kIgnore) options.duplicates = &duplicates;
  auto doc = parse_json(body, options);
  Status bad = doc.ok() ? check_patch(type, doc->root) : doc.status();
  if (!bad.ok()) {
    const char* prefix = type == PatchType::kStrategicMerge ? "" : "error decoding patch: ";
    return Status::bad_request(prefix + bad.message());
  }
  const bool operations = type == PatchType::kJson;
  for (const std::string& d : duplicates) {
    how.patch_problems.push_back((operations ? "json patch duplicate field " : "duplicate field ") +
                                 quoted(d));
  }
  if (operations && options.duplicates) add_unknown_of_operations(doc->root, how.patch_problems);
  if (!doc->root.is_null()) return doc;
  if (type == PatchType::kMerge) return Status::bad_request("Invalid JSON Patch");
  doc->root = operations ? Value::list() : Value::map();
  return doc;
}

constexpr size_t kFewEvents = 16;  // of a watch, that are put into words at once

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
    out.dry_run = q.get_all("dryRun");
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
  audit_request(x, *kOptions, doc, false);
  out = registry::read_delete_options(doc.root);
  // A dry run asked for on either side is one: what nobody wanted deleted stays. (Upstream looks at
  // the body alone where there is one.)
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
  q.sends_initial_events = x.query.find("sendInitialEvents") != nullptr;
  return q;
}

}  // namespace

Task<void> Front::get(Context ctx, Exchange* x) {
  const RequestInfo& i = x->info;
  if (x->query.flag("export")) {
    Status why =
        Status::bad_request("the export parameter, deprecated since v1.14, is no longer supported");
    co_await x->fail(why);
    co_return;
  }
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
  query->turn = &x->turn;
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
  q.continue_ = x->query.get("continue");
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
  Status fit = x->rendering.accepted.format == Format::kYaml ? not_streamable() : x->check_table();
  if (!fit.ok()) {
    co_await x->fail(fit);
    co_return;
  }
  x->code = 200;
  x->leave_gate();  // what is left to do is done as the peer takes it
  const bool protobuf = x->rendering.accepted.format == Format::kProtobuf;
  // Its objects are no lists: they are sent whole.
  if (x->rendering.accepted.shape == Shape::kPartialList) {
    x->rendering.accepted.shape = Shape::kWhole;
  }
  x->rendering.pretty = false;
  if (is_websocket(*x)) {
    Context limit = ctx.with_timeout(std::chrono::seconds(seconds));
    co_await watch_over_websocket(limit, x, stream->get());
    co_return;
  }
  co_await audit_started(ctx, x);
  net::Headers h = x->headers(protobuf ? "application/vnd.kubernetes.protobuf;stream=watch"
                                       : "application/json");
  Status s = co_await x->responder->begin(200, std::move(h));
  Context until = ctx.with_timeout(std::chrono::seconds(seconds));
  bool first = true, over = !s.ok();
  WatchEvents events(*x->kind);
  while (!over) {
    auto items = co_await (*stream)->next(until, 256);
    if (!items.ok()) break;
    // All that there is, to begin with, or much at once.
    if (items->size() > kFewEvents) co_await x->turn.next();
    x->rendering.now = ctx.loop().wall_now();
    Parts parts;
    size_t bytes = 0;
    for (const registry::WatchItem& item : *items) {
      const size_t own = append_event(*x->kind, item, x->rendering, first, &parts);
      events.sent(own);
      if (item.initial_events_end) WatchEvents::list_done(*x, ctx.loop().now() - x->began);
      bytes += own;
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
  auto type = patch_type_of(media_type(x->header("Content-Type")));
  registry::WriteRequest how;
  Status asked = type.status();
  if (asked.ok()) asked = write_request(x, &how, *type);
  if (!asked.ok()) {
    co_await x->fail(asked);
    co_return;
  }
  auto body = decode_patch(x, *type, how);
  if (!body.ok()) {
    co_await x->fail(body.status());
    co_return;
  }
  audit_patch(x, *body);
  bool created = false;
  auto done = co_await server_->patch(ctx, &x->caller(), x->kind, i.ns, i.name, i.subresource,
                                      *type, std::move(*body), std::move(how), &created);
  if (!done.ok()) {
    co_await x->fail(done.status());
    co_return;
  }
  const int code = created ? 201 : 200;
  co_await x->answer_object(ctx, code, *done);
}

Task<void> Front::remove(Context ctx, Exchange* x) {
  const RequestInfo& i = x->info;
  registry::WriteRequest how;
  x->write_request(&how);
  auto request = delete_request(x, how);
  if (!request.ok()) {
    co_await x->fail(request.status());
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
    Status allowed = server_->auth().authorize(x->caller(), unsafe, &x->questions);
    while (x->questions.pending()) {
      co_await server_->auth().ask(ctx, &x->questions);
      allowed = server_->auth().authorize(x->caller(), unsafe, &x->questions);
    }
    if (!allowed.ok()) {
      co_await x->fail(allowed);
      co_return;
    }
  }
  const bool cascades = request->orphan_dependents == false;
  auto done = co_await server_->remove(ctx, &x->caller(), x->kind, i.ns, i.name,
                                       std::move(*request), std::move(how));
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
  // Who asks in the deprecated form is told that dependents have to go first.
  const int code = cascades && !done->gone ? 202 : 200;
  co_await x->answer_object(ctx, code, done->object);
}

Task<void> Front::remove_collection(Context ctx, Exchange* x) {
  registry::WriteRequest how;
  x->write_request(&how);
  auto query = list_query(*x);
  auto request = delete_request(x, how);
  Status bad = query.ok() ? request.status() : query.status();
  if (!bad.ok()) {
    co_await x->fail(bad);
    co_return;
  }
  auto page =
      co_await server_->remove_collection(ctx, &x->caller(), x->kind, x->info.ns, std::move(*query),
                                          std::move(*request), std::move(how));
  if (!page.ok()) {
    co_await x->fail(page.status());
    co_return;
  }
  co_await x->answer_list(ctx, std::move(*page));
}

}  // namespace keles::server
