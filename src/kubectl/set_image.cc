#include "kubectl/set.h"
#include "kubectl/verbs.h"

namespace keles::kubectl {
namespace {

using Images = std::vector<std::pair<std::string, std::string>>;

// Names that are no container's are added to `errors`.
Status put_images(Document& d, const Images& images, std::vector<Status>* errors) {
  TRY_ASSIGN(spec, editable_pod_spec(d));
  for (const auto& [name, image] : images) {
    bool found = false;
    for (Value* c : select_containers(*spec, "*")) {
      if (name != "*" && (*c)["name"].as_string() != name) continue;
      found = true;
      c->set(d.arena, "image", text(d, image));
    }
    if (!found)
      errors->push_back(failure("error: unable to find container named \"" + name + "\""));
  }
  return Status();
}

}  // namespace

Status set_image(Invocation& in) {
  Setter setter("image updated", "failed to patch image update to pod template: ");
  setter.add_to(in.flags, "identifying the resource to get from a server.");
  TRY(in.parse());
  TRY(setter.prepare());
  Images images;
  for (const std::string& arg : in.args) {
    size_t eq = arg.find('=');
    if (eq == arg.npos) {
      if (!images.empty()) {
        return failure("all resources must be specified before image changes: " + arg);
      }
      setter.query.args.push_back(arg);
    } else {
      images.emplace_back(arg.substr(0, eq), arg.substr(eq + 1));
    }
  }
  TRY(setter.no_arguments_locally());
  if (setter.query.args.empty() && setter.query.files.files.empty()) {
    return failure(
        "one or more resources must be specified as <resource> <name> or "
        "<resource>/<name>");
  }
  if (images.empty()) return failure("at least one image update is required");
  for (const auto& [name, image] : images) {
    if (name != "*" || images.size() == 1) continue;
    return failure(
        "all containers are already specified by *, but saw more than one "
        "container_name=container_image pairs");
  }
  std::vector<Status> errors;
  TRY_ASSIGN(found, setter.find(in, &errors));
  return setter.change_all(in, found, &errors,
                           [&](Document& d) { return put_images(d, images, &errors); });
}

}  // namespace keles::kubectl
