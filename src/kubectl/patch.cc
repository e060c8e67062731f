#include "base/file.h"
#include "kubectl/verbs.h"
#include "kubectl/write.h"
#include "machinery/codec_json.h"
#include "machinery/codec_yaml.h"

namespace keles::kubectl {

Status patch(Invocation& in) {
  Query q;
  std::string body, file, type_name = "strategic", subresource;
  bool local = false;
  Writer writer("kubectl-patch");
  q.files.add_to(in.flags, "identifying the resource to update");
  in.flags.add("patch", &body, "The patch to be applied to the resource JSON or YAML file.", 'p');
  in.flags.add("patch-file", &file, "A file containing a patch to be applied to the resource.");
  in.flags.add("type", &type_name,
               "The type of patch being provided; one of [json merge strategic]");
  in.flags.add("subresource", &subresource,
               "If specified, patch will operate on the subresource of the requested object.");
  in.flags.add("local", &local,
               "If true, patch will operate on the content of the file, not the server-side "
               "resource.");
  writer.add_to(in.flags);
  TRY(in.parse());
  if (!body.empty() && !file.empty()) {
    return failure("cannot specify --patch and --patch-file together");
  }
  if (body.empty() && file.empty()) {
    return failure("must specify --patch or --patch-file containing the contents of the patch");
  }
  PatchType type;
  if (type_name == "strategic") {
    type = PatchType::kStrategicMerge;
  } else if (type_name == "merge" || type_name == "json") {
    type = type_name == "merge" ? PatchType::kMerge : PatchType::kJson;
  } else {
    return in.usage("--type must be one of [json merge strategic], not \"" + type_name + "\"");
  }
  TRY(writer.prepare());
  if (local && !in.args.empty()) return failure("cannot specify --local and server resources");
  if (local && writer.dry() && !writer.client_only()) {
    return failure("cannot specify --local and --dry-run=server - did you mean --dry-run=client?");
  }
  if (!file.empty()) {
    Result<std::string> content = read_file(file, 4u << 20);
    if (!content.ok()) return failure("unable to read patch file: " + content.status().message());
    body = *content;
  }
  Result<Document> tree = parse_yaml(body);
  if (!tree.ok()) {
    return failure("unable to parse \"" + body + "\": " + tree.status().message());
  }
  q.args = in.args;
  std::vector<Status> errors;
  Session* session = nullptr;
  if (!local) {
    TRY_ASSIGN(opened, in.session());
    session = opened;
  }
  TRY_ASSIGN(found, local ? local_objects(q) : find_objects(*session, q, &errors));
  for (const Found& f : found) {
    const KindDesc* built_in = find_kind(f.resource->api_version(), f.resource->kind);
    Result<Document> made = Document();
    if (!local && !writer.client_only()) {
      made =
          writer.patch(*session, *f.resource, f.ns, f.name, type, to_json(tree->root), subresource);
    } else if (type == PatchType::kStrategicMerge && !built_in) {
      made = failure("strategic merge patch is not supported for " + f.resource->group_resource() +
                     " locally, try --type merge");
    } else if (type == PatchType::kStrategicMerge) {
      made = apply_strategic_patch(built_in->type, f.object.root, tree->root);
    } else {
      made = type == PatchType::kMerge ? apply_merge_patch(f.object.root, tree->root)
                                       : apply_json_patch(f.object.root, tree->root);
    }
    if (!made.ok()) {
      errors.push_back(made.status());
      continue;
    }
    bool same = made->root.equals(f.object.root);
    TRY(writer.report(made->root, same ? "patched (no change)" : "patched"));
  }
  return combine(std::move(errors));
}

}  // namespace keles::kubectl
