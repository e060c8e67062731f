// debug: a container for looking into a pod (ephemeral, or in a copy of it) or a node.
#include "kubectl/debug.h"

#include <algorithm>

#include "base/encoding.h"
#include "base/file.h"
#include "kubectl/pods.h"
#include "kubectl/stream.h"
#include "kubectl/tabwriter.h"
#include "kubectl/verbs.h"
#include "kubectl/write.h"
#include "machinery/codec_json.h"
#include "machinery/codec_yaml.h"
#include "machinery/patch.h"
#include "machinery/pattern.h"
#include "machinery/schema.h"

namespace keles::kubectl {
namespace {

using Pairs = std::vector<std::pair<std::string, std::string>>;

// A reference of an image: [domain/]path[:tag][@digest].
constinit const Pattern kImage(
    "^(?:(?:(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
    "(?:\\.(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))*|\\[(?:[a-fA-F0-9:]+)\\])"
    "(?::[0-9]+)?/)?[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*"
    "(?:/[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*)*"
    "(?::[\\w][\\w.-]{0,127})?"
    "(?:@[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,})?$");

struct DebugFlags {
  FileFlags files;
  std::string container, copy_to, image, pull_policy, target, profile = "general", custom;
  std::vector<std::string> env_words, set_image_words;
  bool arguments_only = false, attach = false, replace = false, in = false, quiet = false;
  bool same_node = false, share_processes = true, tty = false;
  KeepFlags keep;
  // From the flags, by parse().
  Args names, command;
  Pairs env, set_images;
  std::optional<Document> custom_container;
  bool share_given = false;

  void add_to(Flags& flags);
  Status understand(Invocation& in);
  Status check(bool attach_given) const;
};

constexpr char kOnlyCopy[] = "(This flag only works when used with '--copy-to')";

void DebugFlags::add_to(Flags& flags) {
  files.add_to(flags, "identifying the resource to debug");
  flags.add("arguments-only", &arguments_only,
            "If specified, everything after -- will be passed to the new container as Args instead "
            "of Command.");
  flags.add("attach", &attach,
            "If true, wait for the container to start running, and then attach as if 'kubectl "
            "attach ...' were called.  Default false, unless '-i/--stdin' is set, in which case "
            "the default is true.");
  flags.add("container", &container, "Container name to use for debug container.", 'c');
  flags.add("copy-to", &copy_to, "Create a copy of the target Pod with this name.");
  flags.add("replace", &replace, "When used with '--copy-to', delete the original Pod.");
  flags.add("env", &env_words, "Environment variables to set in the container.");
  flags.add("image", &image, "Container image to use for debug container.");
  auto keeps = [&flags](const char* name, bool* out, const std::string& what) {
    flags.add(name, out, what + kOnlyCopy);
  };
  keeps("keep-labels", &keep.labels, "If true, keep the original pod labels.");
  keeps("keep-annotations", &keep.annotations, "If true, keep the original pod annotations.");
  keeps("keep-liveness", &keep.liveness, "If true, keep the original pod liveness probes.");
  keeps("keep-readiness", &keep.readiness, "If true, keep the original pod readiness probes.");
  keeps("keep-startup", &keep.startup, "If true, keep the original startup probes.");
  keeps("keep-init-containers", &keep.init_containers,
        "Run the init containers for the pod. Defaults to true.");
  flags.add("set-image", &set_image_words,
            "When used with '--copy-to', a list of name=image pairs for changing container images, "
            "similar to how 'kubectl set image' works.");
  flags.add("image-pull-policy", &pull_policy,
            "The image pull policy for the container. If left empty, this value will not be "
            "specified by the client and defaulted by the server.");
  flags.add("stdin", &in,
            "Keep stdin open on the container(s) in the pod, even if nothing is attached.", 'i');
  flags.add("quiet", &quiet, "If true, suppress informational messages.", 'q');
  flags.add("same-node", &same_node,
            "When used with '--copy-to', schedule the copy of target Pod on the same node.");
  flags.add("share-processes", &share_processes,
            "When used with '--copy-to', enable process namespace sharing in the copy.");
  flags.add("target", &target,
            "When using an ephemeral container, target processes in this container name.");
  flags.add("tty", &tty, "Allocate a TTY for the debugging container.", 't');
  flags.add("profile", &profile,
            "Options are \"general\", \"baseline\", \"restricted\", \"netadmin\" or \"sysadmin\". "
            "Defaults to \"general\"");
  flags.add("custom", &custom,
            "Path to a JSON or YAML file containing a partial container spec to customize "
            "built-in debug profiles.");
}

// "a=b" of a flag that holds pairs; a key that comes again replaces.
Status read_pairs(const std::vector<std::string>& words, const char* flag, Pairs* out) {
  for (const std::string& word : words) {
    size_t eq = word.find('=');
    if (eq == word.npos) {
      return plain_failure(
          "error: invalid argument " + quoted(word) + " for \"--" + flag + "\" flag: " + word +
          " must be formatted as key=value\nSee 'kubectl debug --help' for usage.");
    }
    std::string key = word.substr(0, eq);
    auto known = std::find_if(out->begin(), out->end(), [&](auto& p) { return p.first == key; });
    if (known == out->end()) {
      out->emplace_back(key, word.substr(eq + 1));
    } else {
      known->second = word.substr(eq + 1);
    }
  }
  return Status();
}

Status read_custom(const std::string& path, std::optional<Document>* out) {
  Result<std::string> content = read_file(path);
  if (!content.ok()) {
    std::string why = content.status().is(Reason::kNotFound)
                          ? "open " + path + ": no such file or directory"
                          : content.status().message();
    return failure("must pass a container spec json file for custom profile: " + why);
  }
  Result<Document> parsed = parse_yaml(*content);
  if (parsed.ok() && !parsed->root.is_map()) {
    return failure(path + " does not contain a valid container spec: it is no object");
  }
  if (!parsed.ok()) {
    return failure(path + " does not contain a valid container spec: " + parsed.status().message());
  }
  *out = std::move(*parsed);
  return Status();
}

Status DebugFlags::understand(Invocation& invocation) {
  TRY(invocation.parse());
  TRY(read_pairs(env_words, "env", &env));
  TRY(read_pairs(set_image_words, "set-image", &set_images));
  int dash = invocation.flags.arguments_before_dash();
  auto split = dash < 0 ? invocation.args.end() : invocation.args.begin() + dash;
  names.assign(invocation.args.begin(), split);
  command.assign(split, invocation.args.end());
  const bool attach_given = invocation.flags.given("attach");
  share_given = invocation.flags.given("share-processes");
  if (!attach_given && in) attach = true;
  TRY(check_profile(profile));
  if (!custom.empty()) TRY(read_custom(custom, &custom_container));
  return check(attach_given);
}

Status DebugFlags::check(bool attach_given) const {
  if (attach && attach_given && image.empty() && container.empty()) {
    return failure(
        "you must specify --container or create a new container using --image in order to attach.");
  }
  if (!copy_to.empty()) {
    if (image.empty() && set_images.empty() && command.empty()) {
      return failure("you must specify --image, --set-image or command arguments.");
    }
    if (!command.empty() && container.empty() && image.empty()) {
      return failure("you must specify an existing container or a new image when specifying args.");
    }
  } else {
    if (replace) return failure("--replace may only be used with --copy-to.");
    if (same_node) return failure("--same-node may only be used with --copy-to.");
    if (!set_images.empty()) return failure("--set-image may only be used with --copy-to.");
    if (image.empty()) return failure("you must specify --image when not using --copy-to.");
  }
  constexpr char kFormat[] = "invalid reference format";
  if (!image.empty() && !kImage.matches(image)) {
    return failure("invalid image name " + quoted(image) + ": " + kFormat);
  }
  if (names.empty() && files.files.empty()) {
    return failure("NAME or filename is required for debug");
  }
  if (!pull_policy.empty() && pull_policy != "Always" && pull_policy != "IfNotPresent" &&
      pull_policy != "Never") {
    return failure("invalid image pull policy: " + pull_policy);
  }
  for (const auto& [name, one] : set_images) {
    if (kImage.matches(one)) continue;
    return failure("invalid image name " + quoted(one) + " for container " + quoted(name) + ": " +
                   kFormat);
  }
  if (!target.empty()) {
    if (!copy_to.empty()) {
      return failure("--target is incompatible with --copy-to. Use --share-processes instead.");
    }
    if (!quiet) {
      print("Targeting container " + quoted(target) +
            ". If you don't see processes from this container it may be because the container "
            "runtime doesn't support this feature.\n");
    }
  }
  if (tty && !in) return failure("-i/--stdin is required for containers with -t/--tty=true");
  if (custom_container) {
    for (const char* field : {"name", "command", "image", "lifecycle", "volumeDevices"}) {
      if (custom_container->root[field].is_null()) continue;
      return failure(
          "name, command, image, lifecycle and volume devices are not modifiable via custom "
          "profile");
    }
  }
  if (profile == "legacy") {
    print_error(
        "--profile=legacy is deprecated and planned to be removed in v1.39. It is recommended to "
        "specify other profile, for example \"--profile=general\".\n");
  }
  return Status();
}

// --- the objects ---

void put_env(const DebugFlags& f, Document& pod, Value& container) {
  if (f.env.empty()) return;
  Value& list = container.set(pod.arena, "env", Value::list());
  for (const auto& [name, value] : f.env) {
    Value& one = list.append(pod.arena, Value::map());
    one.set(pod.arena, "name", text(pod, name));
    one.set(pod.arena, "value", text(pod, value));
  }
}

void put_command(const DebugFlags& f, Document& pod, Value& container) {
  if (f.command.empty()) return;
  if (!f.arguments_only) container.erase("args");
  const char* field = f.arguments_only ? "args" : "command";
  Value& list = container.set(pod.arena, field, Value::list());
  for (const std::string& word : f.command) list.append(pod.arena, text(pod, word));
}

// What the flags say of the container, new or old.
void fill_container(const DebugFlags& f, Document& pod, Value& c) {
  put_command(f, pod, c);
  put_env(f, pod, c);
  if (!f.image.empty()) c.set(pod.arena, "image", text(pod, f.image));
  if (!f.pull_policy.empty()) c.set(pod.arena, "imagePullPolicy", text(pod, f.pull_policy));
  c.erase("stdin");
  c.erase("tty");
  if (f.in) c.set(pod.arena, "stdin", Value(true));
  if (f.tty) c.set(pod.arena, "tty", Value(true));
}

Value& new_container(Document& pod, const char* list, const std::string& name) {
  Value& containers = at(pod, std::string("spec.") + list);
  if (!containers.is_list()) containers = Value::list();
  Value& c = containers.append(pod.arena, Value::map());
  c.set(pod.arena, "name", text(pod, name));
  c.set(pod.arena, "resources", Value::map());
  c.set(pod.arena, "terminationMessagePolicy", Value::string("File"));
  return c;
}

Status customize(const DebugFlags& f, Document& pod, const std::string& name) {
  if (!f.custom_container) return Status();
  Value* c = find_container(pod.root, name);
  if (!c) {
    return failure("unable to find the " + name + " container in the pod " +
                   std::string(pod.root["metadata"]["name"].as_string()));
  }
  const TypeDesc* type = find_type("io.k8s.api.core.v1.Container");
  Result<Document> merged = apply_strategic_patch(type, *c, f.custom_container->root);
  if (!merged.ok()) {
    return failure("error creating three way patch to add debug container: " +
                   merged.status().message());
  }
  *c = deep_copy(pod.arena, merged->root);
  return Status();
}

std::string container_name(Session& session, const DebugFlags& f, Document& pod) {
  if (!f.container.empty()) return f.container;
  std::string name;
  while (name.empty() || find_container(pod.root, name)) {
    name = "debugger-" + session.loop().random().suffix(5);
  }
  if (!f.quiet) print("Defaulting debug container name to " + name + ".\n");
  return name;
}

// Capabilities are of no use to a process that is not root's.
void warn_of_user(const Value& pod, const Value* container) {
  if (!container) return;
  if (pod["spec"]["securityContext"]["runAsUser"].as_int() == 0) return;
  const Value& own = (*container)["securityContext"];
  const Value& user = own["runAsUser"];
  if (!own.is_map() || (!user.is_null() && user.as_int() == 0)) return;
  if (!own["privileged"].as_bool() && own["capabilities"]["add"].empty()) return;
  print_error(
      "Warning: Non-root user is configured for the entire target Pod, and some capabilities "
      "granted by debug profile may not work. Please consider using \"--custom\" with a custom "
      "profile that specifies \"securityContext.runAsUser: 0\".\n");
}

// What is made, and which of its containers a person may be attached to ("" = none).
struct Made {
  Document pod;
  std::string container;
};

Result<Made> debug_in_place(Session& session, const DebugFlags& f, const Found& found) {
  Document pod = found.object.clone();
  std::string name = container_name(session, f, pod);
  Value& c = new_container(pod, "ephemeralContainers", name);
  fill_container(f, pod, c);
  if (!f.target.empty()) c.set(pod.arena, "targetContainerName", text(pod, f.target));
  apply_profile(f.profile, DebugStyle::kEphemeral, f.keep, pod, name);
  TRY(customize(f, pod, name));
  const Value& all = pod.root["spec"]["ephemeralContainers"];
  const Value& made = all.at(all.items().size() - 1);
  warn_of_user(found.object.root, &made);
  Document patch;
  patch.root = Value::map();
  Value& list = at(patch, "spec.ephemeralContainers");
  list = Value::list();
  list.append(patch.arena, deep_copy(patch.arena, made));
  Call call("PATCH", found.path("ephemeralcontainers"));
  call.content_type = patch_media_type(PatchType::kStrategicMerge);
  call.body = to_json(patch.root);
  Result<Document> answer = session.call(std::move(call));
  if (answer.status().is(Reason::kNotFound) && answer.status().details().name.empty()) {
    return failure("ephemeral containers are disabled for this cluster (error from server: " +
                   quoted(answer.status().message()) + ")");
  }
  if (!answer.ok()) return answer.status();
  return Made{std::move(*answer), name};
}

Result<Document> create_pod(Session& session, const std::string& ns, const Document& pod) {
  TRY_ASSIGN(mapper, session.mapper());
  TRY_ASSIGN(pods, mapper->find("pods"));
  Call call("POST", pods->path(ns, ""));
  call.content_type = "application/json";
  call.body = to_json(pod.root);
  return session.call(std::move(call));
}

// The copy's container that is debugged in; "" when only images change.
Result<std::string> change_copy(Session& session, const DebugFlags& f, Document& copy) {
  Value* containers = at(copy, "spec").find("containers");
  for (Value& c : containers->items()) {
    std::string image;
    for (const auto& [name, one] : f.set_images) {
      if (name == c["name"].as_string() || (name == "*" && image.empty())) image = one;
    }
    if (!image.empty()) c.set(copy.arena, "image", text(copy, image));
  }
  std::string name = f.container;
  Value* c = find_container(copy.root, name);
  if (!c || name.empty()) {
    if (f.image.empty() && !f.set_images.empty()) return std::string();
    if (f.image.empty()) return failure("you must specify image when creating new container");
    name = container_name(session, f, copy);
    c = &new_container(copy, "containers", name);
  }
  fill_container(f, copy, *c);
  apply_profile(f.profile, DebugStyle::kPodCopy, f.keep, copy, name);
  TRY(customize(f, copy, name));
  return name;
}

Result<Made> debug_copy(Session& session, const DebugFlags& f, const Found& found) {
  const Value& original = found.object.root;
  Document copy = new_object("v1", "Pod", f.copy_to, found.ns);
  for (const char* field : {"annotations", "labels"}) {
    const Value& v = original["metadata"][field];
    if (v.is_map()) at(copy, "metadata").set(copy.arena, field, deep_copy(copy.arena, v));
  }
  Value& spec = copy.root.set(copy.arena, "spec", deep_copy(copy.arena, original["spec"]));
  spec.erase("ephemeralContainers");
  if (f.share_given) spec.set(copy.arena, "shareProcessNamespace", Value(f.share_processes));
  if (!f.same_node) spec.erase("nodeName");
  TRY_ASSIGN(name, change_copy(session, f, copy));
  warn_of_user(copy.root, name.empty() ? nullptr : find_container(copy.root, name));
  TRY_ASSIGN(made, create_pod(session, found.ns, copy));
  if (f.replace) {
    Call gone("DELETE", found.path());
    gone.content_type = "application/json";
    gone.body = R"({"kind":"DeleteOptions","apiVersion":"v1","gracePeriodSeconds":0})";
    Result<Document> deleted = session.call(std::move(gone));
    if (!deleted.ok()) return deleted.status();
  }
  return Made{std::move(made), name};
}

Result<Made> debug_node(Session& session, const DebugFlags& f, const Found& found) {
  std::string container = f.container.empty() ? "debugger" : f.container;
  std::string name = "node-debugger-" + found.name + "-" + session.loop().random().suffix(5);
  if (!f.quiet) {
    print("Creating debugging pod " + name + " with container " + container + " on node " +
          found.name + ".\n");
  }
  Document pod = new_object("v1", "Pod", name);
  at(pod, "metadata.labels")
      .set(pod.arena, "app.kubernetes.io/managed-by", Value::string("kubectl-debug"));
  fill_container(f, pod, new_container(pod, "containers", container));
  put(pod, "spec.nodeName", found.name);
  put(pod, "spec.restartPolicy", "Never");
  Value& tolerations = at(pod, "spec.tolerations");
  tolerations = Value::list();
  tolerations.append(pod.arena, Value::map()).set(pod.arena, "operator", Value::string("Exists"));
  apply_profile(f.profile, DebugStyle::kNode, f.keep, pod, container);
  TRY(customize(f, pod, container));
  TRY_ASSIGN(made, create_pod(session, session.ns(), pod));
  return Made{std::move(made), container};
}

// --- attaching ---

const Value& status_of(const Value& pod, std::string_view container) {
  for (const char* list :
       {"initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"}) {
    for (const Value& s : pod["status"][list].items()) {
      if (s["name"].as_string() == container) return s;
    }
  }
  return Value::null();
}

// Until the container runs or has ended; what holds it up is said once.
Result<Document> await_container(Session& session, const DebugFlags& f, const std::string& path,
                                 const std::string& container) {
  std::string said;
  for (Duration pause = 50ms;; pause = std::min<Duration>(pause * 3 / 2, 1s)) {
    TRY_ASSIGN(pod, session.call(Call("GET", path)));
    const Value& state = status_of(pod.root, container)["state"];
    if (state["running"].is_map() || state["terminated"].is_map()) return std::move(pod);
    std::string why(state["waiting"]["message"].as_string());
    if (!f.quiet && !why.empty() && why != said) {
      print_error("Warning: container " + container + ": " + escape_terminal(why) + "\n");
    }
    said = why;
    session.sleep(pause);
  }
}

Status attach_to(Session& session, const DebugFlags& f, const Made& made) {
  TRY_ASSIGN(mapper, session.mapper());
  TRY_ASSIGN(pods, mapper->find("pods"));
  const Value& meta = made.pod.root["metadata"];
  std::string name(meta["name"].as_string()), ns(meta["namespace"].as_string());
  std::string path = pods->path(ns, name);
  TRY_ASSIGN(pod, await_container(session, f, path, made.container));
  const bool ended = status_of(pod.root, made.container)["state"]["terminated"].is_map();
  size_t printed = 0;
  std::string query = "container=" + escape_query(made.container);
  if (!ended) {
    StreamOptions options;
    options.in = f.in;
    options.tty = f.tty;
    options.quiet = f.quiet;
    Status s = attach_container(session, pod.root, path, made.container, options);
    if (s.ok()) return s;
    print_error("warning: couldn't attach to pod/" + name +
                ", falling back to streaming logs: " + s.message() + "\n");
  }
  return print_log(session, path + "/log", query, &printed);
}

Status debug_one(Session& session, const DebugFlags& f, const Found& found) {
  const Resource& r = *found.resource;
  Result<Made> made =
      failure("\"" + r.group + "/" + r.version + ", Kind=" + r.kind + "\" not supported by debug");
  if (r.group.empty() && r.kind == "Node") {
    made = debug_node(session, f, found);
  } else if (r.group.empty() && r.kind == "Pod") {
    made = f.copy_to.empty() ? debug_in_place(session, f, found) : debug_copy(session, f, found);
  }
  if (!made.ok()) return made.status();
  if (!f.attach || made->container.empty()) return Status();
  return attach_to(session, f, *made);
}

}  // namespace

Status debug(Invocation& in) {
  DebugFlags f;
  f.add_to(in.flags);
  TRY(f.understand(in));
  TRY_ASSIGN(session, in.session());
  std::vector<Query> queries;
  if (!f.files.files.empty()) queries.emplace_back().files = f.files;
  for (const std::string& name : f.names) {
    bool typed = name.find('/') != name.npos;
    queries.emplace_back().args = typed ? Args{name} : Args{"pods", name};
  }
  for (const Query& q : queries) {
    TRY_ASSIGN(found, find_objects(*session, q));
    for (const Found& one : found) TRY(debug_one(*session, f, one));
  }
  return Status();
}

}  // namespace keles::kubectl
