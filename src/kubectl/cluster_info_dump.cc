#include <sys/stat.h>

#include <cerrno>
#include <cstring>

#include "base/file.h"
#include "kubectl/pods.h"
#include "kubectl/print.h"
#include "kubectl/select.h"
#include "kubectl/verbs.h"

namespace keles::kubectl {
namespace {

struct DumpFlags {
  OutputFlags output;
  PodTimeout timeout{20s};
  std::string directory;
  std::vector<std::string> namespaces;
  bool all_namespaces = false;

  void add_to(Flags& flags) {
    output.output = "json";
    output.add_to(flags);
    timeout.add_to(flags);
    flags.add("output-directory", &directory,
              "Where to output the files. If empty or '-' uses stdout, otherwise creates a "
              "directory hierarchy in that directory");
    flags.add("namespaces", &namespaces, "A comma separated list of namespaces to dump.");
    flags.add("all-namespaces", &all_namespaces,
              "If true, dump all namespaces. If true, --namespaces is ignored.", 'A');
  }

  bool to_files() const { return !directory.empty() && directory != "-"; }
};

class Dumper {
 public:
  Dumper(Session& session, const Mapper& mapper, const DumpFlags& f, ObjectPrinter printer)
      : session_(session), mapper_(mapper), f_(f), printer_(std::move(printer)) {}

  Status run() {
    TRY(dump("nodes", "", "nodes"));
    TRY_ASSIGN(namespaces, chosen());
    for (const std::string& ns : namespaces) TRY(dump_namespace(ns));
    if (f_.to_files()) print("Cluster info dumped to " + f_.directory + "\n");
    return Status();
  }

 private:
  Result<std::vector<std::string>> chosen() {
    if (!f_.all_namespaces) {
      if (!f_.namespaces.empty()) return f_.namespaces;
      return std::vector<std::string>{"kube-system", session_.ns()};
    }
    TRY_ASSIGN(all, list("namespaces", ""));
    std::vector<std::string> out;
    for (const Value& n : all.root["items"].items()) {
      out.emplace_back(n["metadata"]["name"].as_string());
    }
    return out;
  }

  Status dump_namespace(const std::string& ns) {
    static constexpr std::pair<const char*, const char*> kTypes[] = {
        {"events.v1.", "events"},
        {"replicationcontrollers", "replication-controllers"},
        {"services", "services"},
        {"daemonsets.v1.apps", "daemonsets"},
        {"deployments.v1.apps", "deployments"},
        {"replicasets.v1.apps", "replicasets"}};
    for (const auto& [type, file] : kTypes) TRY(dump(type, ns, ns + "/" + file));
    TRY_ASSIGN(pods, list("pods", ns));
    TRY(write(pods.root, ns + "/pods"));
    for (const Value& pod : pods.root["items"].items()) TRY(dump_logs(ns, pod));
    return Status();
  }

  Result<Document> list(std::string_view type, const std::string& ns) {
    TRY_ASSIGN(resource, mapper_.find(type));
    return session_.call(Call("GET", resource->path(ns, "")));
  }

  Status dump(std::string_view type, const std::string& ns, const std::string& file) {
    TRY_ASSIGN(all, list(type, ns));
    return write(all.root, file);
  }

  Status write(const Value& object, const std::string& file) {
    TRY_ASSIGN(text, printer_.print(object));
    const std::string& form = f_.output.output;
    return put(file + (form == "json" || form == "yaml" ? "." + form : ".txt"), text);
  }

  Status put(const std::string& file, const std::string& text) {
    if (!f_.to_files()) {
      print(text);
      return Status();
    }
    const std::string path = f_.directory + "/" + file;
    for (size_t slash = path.find('/', 1); slash != path.npos; slash = path.find('/', slash + 1)) {
      const std::string parent = path.substr(0, slash);
      if (::mkdir(parent.c_str(), 0755) != 0 && errno != EEXIST) {
        return failure("mkdir " + parent + ": " + std::strerror(errno));
      }
    }
    return write_file(path, text, 0644);
  }

  // What cannot be read is said in its place.
  Status dump_logs(const std::string& ns, const Value& pod) {
    const std::string name(pod["metadata"]["name"].as_string());
    TRY(check_path_segment("pod", name));
    std::string out;
    for (const char* list : {"initContainers", "containers"}) {
      for (const Value& c : pod["spec"][list].items()) {
        const std::string container(c["name"].as_string());
        const std::string of =
            " logs for container " + container + " of pod " + ns + "/" + name + " ====\n";
        Call call("GET", "/api/v1/namespaces/" + ns + "/pods/" + name + "/log");
        call.accept = "*/*";
        add_query(call.query, "container", container);
        Result<std::string> log = session_.call_text(std::move(call));
        out += "==== START" + of;
        out += log.ok() ? *log : "Request log error: " + log.status().message() + "\n";
        out += "==== END" + of;
      }
    }
    return put(ns + "/" + name + "/logs.txt", out);
  }

  Session& session_;
  const Mapper& mapper_;
  const DumpFlags& f_;
  ObjectPrinter printer_;
};

}  // namespace

Status cluster_info_dump(Invocation& in) {
  DumpFlags f;
  f.add_to(in.flags);
  TRY(in.parse());
  // Pods are read as they are, none is waited for.
  if (const char* wrong = f.timeout.wrong(); *wrong) return failure(wrong);
  TRY_ASSIGN(printer, ObjectPrinter::make(f.output, false));
  if (!printer) return failure("an output format is required");
  TRY_ASSIGN(session, in.session());
  for (const std::string& ns : f.namespaces) TRY(check_path_segment("namespace", ns));
  TRY_ASSIGN(mapper, session->mapper());
  return Dumper(*session, *mapper, f, std::move(*printer)).run();
}

}  // namespace keles::kubectl
