#include "kubectl/command.h"

#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>

#include "kubectl/plugin.h"
#include "kubectl/terminal.h"

namespace keles::kubectl {
namespace {

const Command* find_command(std::string_view name) {
  for (const Command* c = kCommands; c->name; ++c) {
    if (name == c->name) return c;
  }
  return nullptr;
}

// Whether an unqualified flag before the verb takes the next word as its value: cobra's way, with
// the flags that all commands share.
bool takes_next(const std::string& word) {
  static constexpr std::string_view kSwitches[] = {"--help", "--insecure-skip-tls-verify",
                                                   "--warnings-as-errors", "-h"};
  if (word.find('=') != std::string::npos) return false;
  if (!word.starts_with("--") && word.size() > 2) return false;
  return std::find(std::begin(kSwitches), std::end(kSwitches), word) == std::end(kSwitches);
}

// The places of the words that may name the command: neither flags nor their values.
std::vector<size_t> candidate_words(const Args& args) {
  std::vector<size_t> out;
  for (size_t i = 0; i < args.size() && args[i] != "--"; ++i) {
    if (args[i].size() > 1 && args[i][0] == '-') {
      if (takes_next(args[i])) ++i;
    } else {
      out.push_back(i);
    }
    if (out.size() == 3) break;
  }
  return out;
}

struct Found {
  const Command* command = nullptr;
  Args rest;
};

Found find_in(const Args& args) {
  Found found{nullptr, args};
  std::vector<size_t> at = candidate_words(args);
  std::string name;
  size_t used = 0;
  for (size_t i = 0; i < at.size(); ++i) {
    name += (i ? " " : "") + args[at[i]];
    const Command* c = find_command(name);
    if (!c) break;
    found.command = c;
    used = i + 1;
  }
  for (size_t i = used; i-- > 0;) found.rest.erase(found.rest.begin() + static_cast<long>(at[i]));
  return found;
}

std::string list_of(std::string_view family) {
  std::string out;
  size_t width = 0;
  std::vector<const Command*> shown;
  for (const Command* c = kCommands; c->name; ++c) {
    std::string_view name = c->name;
    if (!family.empty()) {
      if (!name.starts_with(family) || name.size() <= family.size() || name[family.size()] != ' ')
        continue;
      name.remove_prefix(family.size() + 1);
    }
    if (name.find(' ') != name.npos) continue;
    shown.push_back(c);
    width = std::max(width, name.size());
  }
  for (const Command* c : shown) {
    std::string name = family.empty() ? c->name : c->name + family.size() + 1;
    out += "  " + name + std::string(width - name.size() + 2, ' ') + c->help + "\n";
  }
  return out;
}

std::string root_help() {
  return "kubectl controls the Kubernetes cluster manager.\n\nCommands:\n" + list_of("") +
         "\nUsage:\n  kubectl [flags] [options]\n\n"
         "Use \"kubectl <command> --help\" for more information about a given command.\n";
}

std::string help_of(const Command& c) {
  std::string out = std::string(c.help) + "\n\n";
  std::string below = list_of(c.name);
  if (!below.empty()) out += "Available Commands:\n" + below + "\n";
  return out + "Usage:\n  kubectl " + c.name + (*c.usage ? " " : "") + c.usage;
}

Status run_command(const Args& args) {
  Found found = find_in(args);
  if (!found.command) {
    std::vector<size_t> at = candidate_words(args);
    bool help = std::any_of(args.begin(), args.end(),
                            [](const std::string& a) { return a == "-h" || a == "--help"; });
    if (at.empty()) {
      // Nothing but flags: one of them may be unknown.
      Command root{"", "", "", nullptr};
      Invocation in(root, args);
      Result<Args> rest = in.flags.parse(args);
      if (!rest.ok()) {
        return plain_failure("error: " + rest.status().message() +
                             "\nSee 'kubectl --help' for usage.");
      }
    }
    if (!at.empty() && args[at[0]] != "help") TRY(run_plugin(args, 1));
    if (at.empty() || help || args[at[0]] == "help") {
      if (at.size() > 1 && args[at[0]] == "help") {
        if (const Command* c = find_command(args[at[1]])) {
          Invocation in(*c, {"--help"});
          return c->run ? c->run(in) : in.parse();
        }
      }
      print(root_help());
      return done();
    }
    return plain_failure("error: unknown command \"" + args[at[0]] + "\" for \"kubectl\"");
  }
  // Of families only "create" has room for more.
  if (args.size() > 1 && args[0] == "create" && found.command->name == args[0] &&
      !args[1].starts_with('-')) {
    TRY(run_plugin(args, 2));
  }
  Invocation in(*found.command, found.rest);
  if (found.command->run) return found.command->run(in);
  TRY(in.parse());
  if (!in.args.empty() && list_of(found.command->name).size()) {
    return in.usage("unknown command \"" + in.args[0] + "\" for \"kubectl " + found.command->name +
                    "\"");
  }
  print(help_of(*found.command) + "\n");
  return done();
}

}  // namespace

Invocation::Invocation(const Command& command, Args words)
    : flags(help_of(command)), command_(command), words_(std::move(words)) {
  connection_.add_to(flags);
}

Status Invocation::parse() {
  Result<Args> rest = flags.parse(words_);
  if (!rest.ok()) {
    return plain_failure("error: " + rest.status().message() + "\nSee 'kubectl " + command_.name +
                         " --help' for usage.");
  }
  if (flags.help_wanted()) {
    print(flags.help_text());
    return done();
  }
  args = std::move(*rest);
  return Status();
}

Result<Session*> Invocation::session() {
  if (!session_) {
    TRY_ASSIGN(opened, Session::open(connection_));
    session_ = std::move(opened);
  }
  return session_.get();
}

Status Invocation::usage(std::string message) const {
  return failure(message + "\nSee 'kubectl " + command_.name + " -h' for help and examples");
}

int run(const Args& args) {
  ::signal(SIGPIPE, SIG_IGN);
  block_window_signals();
  Status s = run_command(args);
  std::fflush(stdout);
  print_error(describe_error(s));
  return exit_code_of(s);
}

void print(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  // Whoever reads has gone: end as a program that SIGPIPE kills.
  if (std::ferror(stdout)) ::_exit(141);
}

void print_error(std::string_view text) {
  std::fflush(stdout);
  std::fwrite(text.data(), 1, text.size(), stderr);
}

}  // namespace keles::kubectl
