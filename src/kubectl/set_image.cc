#include <algorithm>

#include "kubectl/podspec.h"
#include "kubectl/verbs.h"
#include "kubectl/write.h"
#include "machinery/codec_json.h"

namespace keles::kubectl {
namespace {

using Images = std::vector<std::pair<std::string, std::string>>;

// The containers that change, as a strategic merge patch of their pod spec; an error when a name
// is none of them.
Status change_containers(const Value& spec, const Images& images, Document* patch,
                         const std::string& path) {
  for (const auto& [name, image] : images) {
    bool found = false;
    for (const char* list : {"initContainers", "containers"}) {
      for (const Value& c : spec[list].items()) {
        if (name != "*" && c["name"].as_string() != name) continue;
        found = true;
        if (c["image"].as_string() == image) continue;
        Value& changes = at(*patch, path + "." + list);
        Value& one = changes.append(patch->arena, Value::map());
        one.set(patch->arena, "name", text(*patch, c["name"].as_string()));
        one.set(patch->arena, "image", text(*patch, image));
      }
    }
    if (!found) return failure("unable to find container named \"" + name + "\"");
  }
  return Status();
}

}  // namespace

Status set_image(Invocation& in) {
  Query q;
  Writer writer("kubectl-set");
  q.files.add_to(in.flags, "identifying the resource to get from a server.");
  in.flags.add("all", &q.all, "Select all resources, in the namespace of the specified types");
  in.flags.add("selector", &q.label_selector, "Selector (label query) to filter on", 'l');
  writer.add_to(in.flags);
  TRY(in.parse());
  TRY(writer.prepare());
  Images images;
  for (const std::string& arg : in.args) {
    size_t eq = arg.find('=');
    if (eq == arg.npos) {
      if (!images.empty()) {
        return failure("all resources must be specified before image changes: " + arg);
      }
      q.args.push_back(arg);
    } else {
      images.emplace_back(arg.substr(0, eq), arg.substr(eq + 1));
    }
  }
  if (q.args.empty() && q.files.files.empty()) {
    return failure(
        "one or more resources must be specified as <resource> <name> or "
        "<resource>/<name>");
  }
  if (images.empty()) return failure("at least one image update is required");
  TRY_ASSIGN(session, in.session());
  std::vector<Status> errors;
  TRY_ASSIGN(found, find_objects(*session, q, &errors));
  for (const Found& f : found) {
    std::string path = pod_spec_path(f.object.root);
    if (path.empty()) {
      errors.push_back(failure(f.display() + " the object is not a pod or does not have a pod "
                                             "template"));
      continue;
    }
    Document patch;
    patch.root = Value::map();
    Status s = change_containers(pod_spec(f.object.root), images, &patch, path);
    if (!s.ok()) {
      errors.push_back(s);
      continue;
    }
    if (patch.root.empty()) continue;
    Result<Document> made = f.object.clone();
    if (!writer.client_only()) {
      made = writer.patch(*session, *f.resource, f.ns, f.name, PatchType::kStrategicMerge,
                          to_json(patch.root));
    } else if (const KindDesc* k = find_kind(f.resource->api_version(), f.resource->kind)) {
      made = apply_strategic_patch(k->type, f.object.root, patch.root);
    }
    if (!made.ok()) {
      errors.push_back(
          failure("failed to patch image update to pod template: " + made.status().message()));
      continue;
    }
    TRY(writer.report(made->root, "image updated"));
  }
  return combine(std::move(errors));
}

}  // namespace keles::kubectl
