#include <cstdio>

#include "kubectl/session.h"
#include "kubectl/verbs.h"
#include "machinery/codec_json.h"
#include "machinery/patch.h"

namespace keles::kubectl {
namespace {

constexpr char kLastApplied[] = "kubectl.kubernetes.io/last-applied-configuration";

// The object with itself, as JSON, in the annotation that later applies compare with.
void annotate(Document& d) {
  Value& meta = d.root.get_or_add(d.arena, "metadata");
  if (Value* annotations = meta.find("annotations")) annotations->erase(kLastApplied);
  std::string text = to_json(d.root) + "\n";
  Value& annotations = d.root.get_or_add(d.arena, "metadata").get_or_add(d.arena, "annotations");
  if (!annotations.is_map()) annotations = Value::map();
  annotations.set(d.arena, kLastApplied, Value::string(d.arena.copy(text)));
}

Task<Status> apply_one(Context ctx, Session* session, Input* in) {
  annotate(in->object);
  std::string path = HttpsClient::path_of(*in->kind, in->ns, in->name);
  Result<Document> current = co_await session->request(ctx, "GET", path, "", "", "");
  if (current.status().is(Reason::kNotFound)) {
    Result<Document> made =
        co_await session->request(ctx, "POST", HttpsClient::path_of(*in->kind, in->ns, ""),
                                  "fieldManager=kubectl-client-side-apply&fieldValidation=Strict",
                                  "application/json", to_json(in->object.root));
    if (made.ok()) std::printf("%s created\n", display_name(*in->kind, in->name).c_str());
    co_return made.status();
  }
  if (!current.ok()) co_return current.status();
  Document original;
  Result<Document> last =
      parse_json(current->root["metadata"]["annotations"][kLastApplied].as_string());
  if (last.ok()) original = std::move(*last);
  Result<Document> patch = create_three_way_strategic_patch(in->kind->type, original.root,
                                                            in->object.root, current->root);
  if (!patch.ok()) co_return patch.status();
  if (patch->root.empty()) {
    std::printf("%s unchanged\n", display_name(*in->kind, in->name).c_str());
    co_return Status();
  }
  Result<Document> changed = co_await session->request(
      ctx, "PATCH", path, "fieldManager=kubectl-client-side-apply&fieldValidation=Strict",
      std::string(patch_media_type(PatchType::kStrategicMerge)), to_json(patch->root));
  if (!changed.ok()) co_return changed.status();
  bool same = changed->root["metadata"]["resourceVersion"].equals(
      current->root["metadata"]["resourceVersion"]);
  std::printf("%s %s\n", display_name(*in->kind, in->name).c_str(),
              same ? "unchanged" : "configured");
  co_return Status();
}

}  // namespace

Task<Status> apply(Context ctx, Args args) {
  CommonFlags common;
  std::vector<std::string> files;
  Flags flags("Usage:\n  keles kubectl apply -f FILENAME");
  flags.add("filename", &files,
            "The files that contain the configurations to apply, or - for stdin", 'f');
  common.add_to(flags);
  Result<Args> rest = flags.parse(args);
  if (!rest.ok()) co_return rest.status();
  if (flags.help_wanted()) {
    std::fputs(flags.help_text().c_str(), stdout);
    co_return Status();
  }
  if (files.empty()) co_return Status::bad_request("must specify one of -f and -k");
  Result<std::unique_ptr<Session>> session = Session::open(ctx.loop(), common);
  if (!session.ok()) co_return session.status();
  Result<std::vector<Input>> objects = read_objects(files, (*session)->ns());
  if (!objects.ok()) co_return objects.status();
  Status first;
  for (Input& in : *objects) {
    Status s = co_await apply_one(ctx, session->get(), &in);
    if (s.ok()) continue;
    if (first.ok()) {
      first = s;
    } else {
      std::fprintf(stderr, "error: %s\n", s.message().c_str());
    }
  }
  co_return first;
}

}  // namespace keles::kubectl
