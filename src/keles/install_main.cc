// `keles install` and `keles uninstall`: a server or an agent as a service of systemd.
#include <unistd.h>

#include <cstdio>

#include "base/file.h"
#include "base/flags.h"
#include "base/process.h"
#include "keles/commands.h"
#include "keles/runtime.h"
#include "kind/layout.h"
#include "machines/install.h"

namespace keles {
namespace {

using machines::InstallOptions;

Task<Status> systemctl(Context ctx, std::vector<std::string> args) {
  ProcessOptions o;
  o.argv = std::move(args);
  o.argv.insert(o.argv.begin(), "systemctl");
  const std::string what = o.argv[1];
  Context limit = ctx.with_timeout(3min);
  auto r = co_await run_process(limit, std::move(o));
  if (!r.ok()) co_return r.status().with_prefix("systemctl");
  if (r->exit_code == 0) co_return Status();
  co_return Status::internal("systemctl " + what + ": " + r->err + r->out);
}

Task<Status> take_up(Context ctx, std::string unit, bool start) {
  std::vector<std::string> reread = {"daemon-reload"};
  Status s = co_await systemctl(ctx, std::move(reread));
  if (!s.ok() || !start) co_return s;
  std::vector<std::string> enable = {"enable", "--now", unit};
  co_return co_await systemctl(ctx, std::move(enable));
}

Status write_files(const std::vector<machines::PlannedFile>& files) {
  for (const machines::PlannedFile& f : files) {
    if (f.keep && path_exists(f.path)) {
      std::printf("%s stays as it is\n", f.path.c_str());
      continue;
    }
    TRY(make_directories(f.path.substr(0, f.path.rfind('/'))));
    TRY(write_file(f.path, f.content, f.mode, true));
    std::printf("%s written\n", f.path.c_str());
  }
  return {};
}

struct InstallFlags {
  InstallOptions options;
  bool dry_run = false, start = false;
};

Status install(InstallFlags f, const Flags& flags, std::vector<std::string> rest) {
  const int before = flags.arguments_before_dash();
  const size_t named = before < 0 ? rest.size() : static_cast<size_t>(before);
  if (named != 1 || (rest[0] != "server" && rest[0] != "agent"))
    return Status::bad_request("want server or agent, and its own flags behind \"--\"");
  InstallOptions& o = f.options;
  o.server = rest[0] == "server";
  o.flags.assign(rest.begin() + 1, rest.end());
  if (o.program.empty()) o.program = kind::program_path();
  while (o.root.ends_with('/')) o.root.pop_back();
  TRY_ASSIGN(files, machines::plan_install(o));
  if (f.dry_run) {
    for (const auto& file : files)
      std::printf("# %s (mode %04o)%s\n%s\n", file.path.c_str(), static_cast<unsigned>(file.mode),
                  file.keep && path_exists(file.path) ? ": is there, and stays" : "",
                  file.content.c_str());
    return {};
  }
  if (o.root.empty()) TRY(machines::check_systemd());
  if (o.root.empty() && ::geteuid() != 0) return Status::bad_request("run it as root");
  TRY(write_files(files));
  if (!o.root.empty()) return {};
  const std::string unit = machines::unit_name(o.server);
  const bool start = f.start;
  TRY(run_program([unit, start](Context ctx) { return take_up(ctx, unit, start); }));
  if (!start) std::printf("Start it: systemctl enable --now %s\n", unit.c_str());
  return {};
}

Task<Status> take_down(Context ctx, std::vector<std::string> units) {
  for (const std::string& unit : units) {
    std::vector<std::string> disable = {"disable", "--now", unit};
    Status s = co_await systemctl(ctx, std::move(disable));
    if (!s.ok()) co_return s;
  }
  co_return Status();
}

Task<Status> reload(Context ctx) {
  std::vector<std::string> args = {"daemon-reload"};
  co_return co_await systemctl(ctx, std::move(args));
}

Status uninstall(std::string root, bool purge, bool dry_run) {
  while (root.ends_with('/')) root.pop_back();
  const std::vector<std::string> files = machines::plan_uninstall(root, purge);
  if (files.empty()) {
    std::printf("Nothing is installed%s\n", root.empty() ? "" : (" below " + root).c_str());
    return {};
  }
  if (root.empty() && !dry_run) {
    TRY(machines::check_systemd());
    if (::geteuid() != 0) return Status::bad_request("run it as root");
  }
  std::vector<std::string> units;
  for (const std::string& f : files)
    if (f.ends_with(".service")) units.push_back(f.substr(f.rfind('/') + 1));
  if (root.empty() && !dry_run)
    TRY(run_program([units](Context ctx) { return take_down(ctx, units); }));
  for (const std::string& f : files) {
    if (!dry_run) TRY(remove_tree(f));
    std::printf("%s %s\n", f.c_str(), dry_run ? "would be removed" : "removed");
  }
  if (dry_run) return {};
  if (root.empty()) TRY(run_program([](Context ctx) { return reload(ctx); }));
  std::printf("What it kept and made stays: `keles node reset` removes that%s\n",
              purge ? "" : "; --purge the flags in /etc/keles");
  return {};
}

}  // namespace

int install_main(const std::vector<std::string>& args) {
  InstallFlags f;
  Flags flags(
      "Makes a server or an agent a service of systemd: writes its unit and, unless it is there, "
      "the file with its flags (/etc/keles/server.yaml or agent.yaml).\n\nUsage:\n  keles install "
      "server|agent [flags] [-- FLAGS OF THE SERVICE]");
  flags.add("dry-run", &f.dry_run, "Show the files, and write none.");
  flags.add("root", &f.options.root,
            "Write below this directory and start nothing: for images, and where no systemd runs.");
  flags.add("program", &f.options.program,
            "Where the unit finds keles. Empty: this program, as it lies.");
  flags.add("start", &f.start, "Start it now, and at each boot.");
  return run_command(&flags, args,
                     [&](const std::vector<std::string>& rest) { return install(f, flags, rest); });
}

int uninstall_main(const std::vector<std::string>& args) {
  std::string root;
  bool purge = false, dry_run = false;
  Flags flags(
      "Stops the services that `keles install` made, and removes their units. Data and pods stay: "
      "see `keles node reset`.\n\nUsage:\n  keles uninstall [flags]");
  flags.add("dry-run", &dry_run, "Show what would be removed.");
  flags.add("root", &root, "Look below this directory, and stop nothing.");
  flags.add("purge", &purge, "Remove the files with their flags, too.");
  return run_command(&flags, args, [&](const std::vector<std::string>& rest) -> Status {
    TRY(no_arguments(rest));
    return uninstall(root, purge, dry_run);
  });
}

}  // namespace keles
