#include "kind/command.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <iterator>
#include <set>

#include "base/address_pool.h"
#include "base/file.h"
#include "base/flags.h"
#include "kind/cluster.h"
#include "kind/layout.h"
#include "kind/node_process.h"

namespace keles::kind {
namespace {

// What a command was given: the flags that it knows, and the words.
struct Arguments {
  std::string name, config, kubeconfig, image, pool;
  std::vector<std::string> nodes, words;
  Duration wait{0};
  int64_t verbosity = 0;
  bool retain = false, quiet = false, all = false, internal = false;
};

// `known` are the flags of this command beside -q and -v.
void add_flags(Flags* flags, const std::set<std::string>& known, Arguments* a) {
  auto wants = [&](const char* name) { return known.count(name) != 0; };
  if (wants("name")) flags->add("name", &a->name, "the cluster's name (default: kind)", 'n');
  if (wants("config")) flags->add("config", &a->config, "a cluster configuration file, or -");
  if (wants("kubeconfig")) flags->add("kubeconfig", &a->kubeconfig, "the kubeconfig to change");
  if (wants("image")) flags->add("image", &a->image, "accepted and ignored: nodes have no image");
  if (wants("load-balancer-pool"))
    flags->add("load-balancer-pool", &a->pool,
               "addresses for Services of type LoadBalancer in place of the nodes' own, which one "
               "node each announces: ranges on the nodes' network, or auto for 51 at its end");
  if (wants("nodes")) flags->add("nodes", &a->nodes, "only these nodes");
  if (wants("wait")) flags->add("wait", &a->wait, "wait this long for every node to be Ready");
  if (wants("retain")) flags->add("retain", &a->retain, "keep the nodes when creation fails");
  if (wants("all")) flags->add("all", &a->all, "all clusters", 'A');
  if (wants("internal")) flags->add("internal", &a->internal, "accepted: both addresses are one");
  flags->add("quiet", &a->quiet, "no progress on standard error", 'q');
  flags->add("verbosity", &a->verbosity, "accepted and ignored", 'v');
}

std::string cluster_name(const Arguments& a) {
  const char* named = std::getenv("KIND_CLUSTER_NAME");
  return !a.name.empty() ? a.name : named && *named ? named : "kind";
}

// ["a" "b"], as Go's %q prints a list.
std::string quoted(const std::vector<std::string>& names) {
  std::string out = "[";
  for (const std::string& n : names) out += (out.size() > 1 ? " \"" : "\"") + n + "\"";
  return out + "]";
}

Status create(const Arguments& a) {
  std::string yaml;
  if (const std::string& file = a.config; file == "-") {
    yaml.assign(std::istreambuf_iterator<char>(std::cin), {});
  } else if (!file.empty()) {
    auto text = read_file(file);
    if (!text.ok())
      return text.status().with_prefix("failed to create cluster: error reading file");
    yaml = *text;
  }
  auto config = parse_cluster_config(yaml);
  if (!config.ok())
    return config.status().with_prefix("failed to create cluster: unable to decode config");
  const char* named = std::getenv("KIND_CLUSTER_NAME");
  if (!a.name.empty()) {
    config->name = a.name;
  } else if (named && *named && yaml.empty()) {
    config->name = named;
  }
  config->load_balancer_pool = a.pool;
  if (!a.pool.empty() && a.pool != "auto") {
    auto pool = AddressPool::parse(a.pool);
    if (!pool.ok()) return pool.status().with_prefix("--load-balancer-pool");
  }
  CreateOptions options;
  options.wait = a.wait;
  options.kubeconfig = a.kubeconfig;
  options.retain = a.retain;
  options.quiet = a.quiet;
  Status s = create_cluster(*config, options);
  if (!s.ok()) return s.with_prefix("failed to create cluster");
  std::string context = context_name(config->name);
  std::string where = a.kubeconfig.empty() ? "" : " --kubeconfig " + a.kubeconfig;
  Progress progress(options.quiet);
  progress.say("Set kubectl context to \"" + context + "\"");
  progress.say("You can now use your cluster with:\n");
  progress.say("kubectl cluster-info --context " + context + where + "\n");
  progress.say("Have a nice day! 👋");
  return Status();
}

Status remove_one(const std::string& name, const Arguments& a) {
  auto nodes = delete_cluster(name, a.kubeconfig);
  if (!nodes.ok()) return nodes.status().with_prefix("failed to delete cluster \"" + name + "\"");
  if (!nodes->empty()) Progress(a.quiet).say("Deleted nodes: " + quoted(*nodes));
  return Status();
}

Status remove(const Arguments& a) {
  auto lock = StateLock::acquire();
  TRY(lock);
  std::string name = cluster_name(a);
  Progress(a.quiet).say("Deleting cluster \"" + name + "\" ...");
  return remove_one(name, a);
}

Status remove_many(const Arguments& a) {
  auto lock = StateLock::acquire();
  TRY(lock);
  auto names = a.all ? list_clusters() : a.words;
  if (names.empty() && !a.all) return Status::bad_request("no cluster names provided");
  for (const std::string& n : names) TRY(remove_one(n, a));
  Progress(a.quiet).say("Deleted clusters: " + quoted(names));
  return Status();
}

Status get_clusters(const Arguments& a) {
  auto names = list_clusters();
  if (names.empty()) Progress(a.quiet).say("No kind clusters found.");
  for (const std::string& n : names) std::puts(n.c_str());
  return Status();
}

Status get_nodes(const Arguments& a) {
  std::vector<std::string> nodes;
  for (const std::string& c : a.all ? list_clusters() : std::vector<std::string>{cluster_name(a)})
    for (const std::string& n : list_nodes(c)) nodes.push_back(n);
  if (nodes.empty())
    Progress(a.quiet).say(a.all ? "No kind nodes found."
                                : "No kind nodes found for cluster \"" + cluster_name(a) + "\".");
  for (const std::string& n : nodes) std::puts(n.c_str());
  return Status();
}

Status get_kubeconfig(const Arguments& a) {
  TRY_ASSIGN(entry, admin_entry(cluster_name(a)));
  std::fputs(kubeconfig_text(entry).c_str(), stdout);
  return Status();
}

Status export_kubeconfig(const Arguments& a) {
  TRY_ASSIGN(entry, admin_entry(cluster_name(a)));
  TRY(merge_kubeconfig(kubeconfig_to_write(a.kubeconfig), entry));
  Progress(a.quiet).say("Set kubectl context to \"" + entry.name + "\"");
  return Status();
}

Status export_all_logs(const Arguments& a) {
  std::string directory = a.words.empty() ? "" : a.words[0];
  if (directory.empty()) {
    char made[] = "/tmp/kind-logs-XXXXXX";
    if (!mkdtemp(made)) return Status::internal("cannot make a directory in /tmp");
    directory = made;
  }
  Progress(a.quiet).say("Exporting logs for cluster \"" + cluster_name(a) + "\" to:");
  TRY(export_logs(cluster_name(a), directory));
  std::puts(directory.c_str());
  return Status();
}

// Of `nodes`, the cluster's, those that are wanted: all, if none is named.
Result<std::vector<std::string>> chosen_nodes(const Arguments& a,
                                              const std::vector<std::string>& nodes,
                                              const std::vector<std::string>& wanted) {
  if (nodes.empty())
    return Status(Reason::kNotFound, "no nodes found for cluster \"" + cluster_name(a) + "\"");
  if (wanted.empty()) return nodes;
  for (const std::string& w : wanted)
    if (std::find(nodes.begin(), nodes.end(), w) == nodes.end())
      return Status(Reason::kNotFound, "unknown node: \"" + w + "\"");
  return wanted;
}

Status load_image_archive(const Arguments& a) {
  if (a.words.empty()) return Status::bad_request("a list of image archives is required");
  TRY_ASSIGN(nodes, chosen_nodes(a, list_internal_nodes(cluster_name(a)), a.nodes));
  for (const std::string& file : a.words) TRY(load_archive(cluster_name(a), nodes, file));
  return Status();
}

Status load_docker_image(const Arguments&) {
  return Status::bad_request(
      "keles does not talk to a docker daemon: save the image and load the archive:\n"
      "  docker save IMAGE -o image.tar && keles kind load image-archive image.tar");
}

Status start_or_stop(const Arguments& a, bool start) {
  auto lock = StateLock::acquire();
  TRY(lock);
  auto nodes_wanted = a.words;
  std::string cluster = cluster_name(a);
  if (!nodes_wanted.empty()) {
    cluster = cluster_of_node(nodes_wanted[0]);
    if (cluster.empty())
      return Status(Reason::kNotFound, "unknown node: \"" + nodes_wanted[0] + "\"");
  }
  TRY_ASSIGN(nodes, chosen_nodes(a, list_nodes(cluster), nodes_wanted));
  TRY(start ? start_nodes(cluster, nodes) : stop_nodes(cluster, nodes));
  Progress(a.quiet).say((start ? "Started nodes: " : "Stopped nodes: ") + quoted(nodes));
  return Status();
}

Status start_cmd(const Arguments& a) { return start_or_stop(a, true); }
Status stop_cmd(const Arguments& a) { return start_or_stop(a, false); }

Status version(const Arguments&) {
  std::puts("kind v0.31.0+keles (keles v1.36, linux)");
  return Status();
}

struct Command {
  std::vector<std::string> path;
  std::set<std::string> flags;
  std::function<Status(const Arguments&)> run;
  const char* help;
};

const std::vector<Command>& commands() {
  static const std::vector<Command> kCommands{
      {{"create", "cluster"},
       {"name", "config", "wait", "kubeconfig", "retain", "image", "load-balancer-pool"},
       create,
       "create cluster [--name NAME] [--config FILE|-] [--wait DURATION] [--retain] "
       "[--load-balancer-pool RANGES|auto]"},
      {{"delete", "cluster"}, {"name", "kubeconfig"}, remove, "delete cluster [--name NAME]"},
      {{"delete", "clusters"}, {"all", "kubeconfig"}, remove_many, "delete clusters NAME...|--all"},
      {{"get", "clusters"}, {}, get_clusters, "get clusters"},
      {{"get", "nodes"}, {"name", "all"}, get_nodes, "get nodes [--name NAME|--all]"},
      {{"get", "kubeconfig"}, {"name", "internal"}, get_kubeconfig, "get kubeconfig [--name NAME]"},
      {{"load", "image-archive"},
       {"name", "nodes"},
       load_image_archive,
       "load image-archive FILE... [--name NAME] [--nodes NODE,...]"},
      {{"load", "docker-image"},
       {"name", "nodes"},
       load_docker_image,
       "load docker-image (says what to do instead)"},
      {{"export", "kubeconfig"},
       {"name", "kubeconfig", "internal"},
       export_kubeconfig,
       "export kubeconfig [--name NAME] [--kubeconfig FILE]"},
      {{"export", "logs"}, {"name"}, export_all_logs, "export logs [DIRECTORY] [--name NAME]"},
      {{"start", "cluster"}, {"name"}, start_cmd, "start cluster [--name NAME]"},
      {{"start", "node"}, {}, start_cmd, "start node NODE..."},
      {{"stop", "cluster"}, {"name"}, stop_cmd, "stop cluster [--name NAME]"},
      {{"stop", "node"}, {}, stop_cmd, "stop node NODE..."},
      {{"version"}, {}, version, "version"},
  };
  return kCommands;
}

bool asks_for_help(const std::vector<std::string>& args) {
  for (const std::string& a : args) {
    if (a == "--") return false;
    if (a == "-h" || a == "--help") return true;
  }
  return false;
}

// What begins with `verb`: "kind create --help". False when nothing does.
bool print_group(FILE* to, const std::string& verb) {
  bool any = false;
  for (const Command& c : commands()) {
    if (c.path[0] != verb || c.path.size() < 2) continue;
    if (!any) std::fputs("Usage:\n", to);
    any = true;
    std::fprintf(to, "  kind %s\n", c.help);
  }
  if (any) std::fprintf(to, "\nUse \"kind %s COMMAND --help\" for its flags.\n", verb.c_str());
  return any;
}

constexpr char kExecUsage[] =
    "Runs a command inside a node (a shell when none is named), as `docker exec` does with kind.\n"
    "\nUsage:\n  kind exec NODE [--] COMMAND [ARG...]\n";

void print_usage(FILE* to) {
  std::fputs(
      "keles kind makes local Kubernetes clusters whose nodes are namespaces of this host.\n"
      "\nUsage:\n",
      to);
  for (const Command& c : commands()) std::fprintf(to, "  kind %s\n", c.help);
  std::fputs(
      "  kind exec NODE [--] COMMAND [ARG...]\n"
      "\nFlags:\n  -q, --quiet   no progress on standard error\n"
      "  -h, --help    this text\n",
      to);
}

bool begins_with(const std::vector<std::string>& args, const std::vector<std::string>& path) {
  return args.size() >= path.size() && std::equal(path.begin(), path.end(), args.begin());
}

int fail(const Status& s) {
  std::fprintf(stderr, "ERROR: %s\n", s.message().c_str());
  return 1;
}

int exec_command(std::vector<std::string> args) {
  if (args.empty()) return fail(Status::bad_request("exec needs a node and a command"));
  std::string node = args[0];
  args.erase(args.begin());
  if (!args.empty() && args[0] == "--") args.erase(args.begin());
  std::string cluster = cluster_of_node(node);
  if (cluster.empty()) return fail(Status(Reason::kNotFound, "unknown node: \"" + node + "\""));
  if (args.empty()) args = {"/bin/sh"};
  auto code = exec_in_node(cluster, node, args);
  return code.ok() ? *code : fail(code.status());
}

}  // namespace

int run_kind(const std::vector<std::string>& args) {
  if (args.empty() || args[0] == "help" || args[0] == "-h" || args[0] == "--help") {
    print_usage(stdout);
    return 0;
  }
  if (args[0] == "exec" && args.size() > 1 && (args[1] == "-h" || args[1] == "--help")) {
    std::fputs(kExecUsage, stdout);
    return 0;
  }
  if (args[0] == "exec") return exec_command({args.begin() + 1, args.end()});
  for (const Command& c : commands()) {
    if (!begins_with(args, c.path)) continue;
    Arguments given;
    Flags flags("kind " + std::string(c.help));
    add_flags(&flags, c.flags, &given);
    auto words = flags.parse({args.begin() + static_cast<long>(c.path.size()), args.end()});
    if (!words.ok()) return fail(words.status());
    if (flags.help_wanted()) {
      std::fputs(flags.help_text().c_str(), stdout);
      return 0;
    }
    given.words = *words;
    Status s = c.run(given);
    return s.ok() ? 0 : fail(s);
  }
  if (asks_for_help(args) && print_group(stdout, args[0])) return 0;
  if (args.size() == 1 && print_group(stderr, args[0])) return 1;
  std::string named = args[0] + (args.size() > 1 && args[1][0] != '-' ? " " + args[1] : "");
  std::fprintf(stderr, "ERROR: unknown command \"%s\" for \"kind\"\n", named.c_str());
  print_usage(stderr);
  return 1;
}

}  // namespace keles::kind
