// `keles token`: bootstrap tokens, as kubeadm's command of that name makes and shows them.
#include <cstdio>
#include <cstdlib>

#include "base/file.h"
#include "base/flags.h"
#include "base/host_port.h"
#include "base/version.h"
#include "client/https_client.h"
#include "client/kubeconfig.h"
#include "keles/commands.h"
#include "keles/runtime.h"
#include "machines/bootstrap_token.h"
#include "net/public_key_pins.h"

namespace keles {
namespace {

using machines::BootstrapToken;

constexpr char kAdminConfig[] = "/etc/kubernetes/admin.conf";
constexpr char kPattern[] = R"("\\A([a-z0-9]{6})\\.([a-z0-9]{16})\\z")";
constexpr char kIdPattern[] = R"("\\A([a-z0-9]{6})\\z")";

struct TokenFlags {
  std::string kubeconfig, description;
  Duration ttl = 24h;
  std::vector<std::string> usages, groups;
  bool print_join_command = false;
};

Result<ClientConfig> config_of(const TokenFlags& f) {
  KubeconfigChoice choice;
  choice.path = f.kubeconfig;
  if (choice.path.empty() && !std::getenv("KUBECONFIG") && path_exists(kAdminConfig))
    choice.path = kAdminConfig;
  return load_client_config(choice);
}

std::unique_ptr<HttpsClient> client_of(Context ctx, const ClientConfig& config) {
  HttpsClientOptions options;
  options.user_agent = "keles-token/" + std::string(kGitVersion);
  return std::make_unique<HttpsClient>(ctx.loop(), config, options);
}

Result<std::string> join_command(const ClientConfig& config, const BootstrapToken& token) {
  if (!config.endpoint.tls || config.endpoint.tls->ca_pem.empty())
    return Status::bad_request("no CA certificates found in kubeconfig");
  TRY_ASSIGN(pins, net::public_key_pins(config.endpoint.tls->ca_pem));
  std::string out = "keles agent --server https://" +
                    host_port(config.endpoint.host, config.endpoint.port) + config.path_prefix +
                    " --token " + token.text();
  for (const std::string& pin : pins) out += "::" + pin;
  return out;
}

Task<Status> create(Context ctx, TokenFlags f, BootstrapToken token) {
  Result<ClientConfig> config = config_of(f);
  if (!config.ok()) co_return config.status();
  auto client = client_of(ctx, *config);
  if (f.ttl > Duration(0)) token.expires = ctx.loop().wall_now() + f.ttl;
  auto made = co_await client->create<api::core_v1::Secret>(ctx, machines::token_secret(token));
  if (made.status().is(Reason::kAlreadyExists))
    co_return Status(Reason::kAlreadyExists, "a token with id \"" + token.id + "\" already exists");
  if (!made.ok())
    co_return made.status().with_prefix("failed to create or update bootstrap token with name " +
                                        machines::token_secret_name(token.id));
  std::string shown = token.text();
  if (f.print_join_command) {
    auto command = join_command(*config, token);
    if (!command.ok()) co_return command.status().with_prefix("failed to get join command");
    shown = *command;
  }
  std::printf("%s\n", shown.c_str());
  co_return Status();
}

Task<Status> list(Context ctx, TokenFlags f) {
  Result<ClientConfig> config = config_of(f);
  if (!config.ok()) co_return config.status();
  auto client = client_of(ctx, *config);
  ListOptions options;
  options.field_selector = "type=bootstrap.kubernetes.io/token";
  auto secrets = co_await client->list<api::core_v1::Secret>(ctx, "kube-system", options);
  if (!secrets.ok()) co_return secrets.status().with_prefix("failed to list bootstrap tokens");
  std::vector<BootstrapToken> tokens;
  for (const Ref<api::core_v1::Secret>& s : *secrets) {
    auto token = machines::token_of(*s);
    if (token.ok()) {
      tokens.push_back(std::move(*token));
    } else {
      std::fprintf(stderr, "%s\n", token.status().message().c_str());
    }
  }
  std::fputs(machines::token_table(tokens, ctx.loop().wall_now()).c_str(), stdout);
  co_return Status();
}

Task<Status> remove(Context ctx, TokenFlags f, std::vector<std::string> tokens) {
  Result<ClientConfig> config = config_of(f);
  if (!config.ok()) co_return config.status();
  auto client = client_of(ctx, *config);
  for (const std::string& text : tokens) {
    std::string id = text;
    if (!machines::is_token_id(text)) {
      auto parsed = machines::parse_token(text);
      if (!parsed.ok())
        co_return Status::bad_request(std::string("given token didn't match pattern ") + kPattern +
                                      " or " + kIdPattern);
      id = parsed->id;
    }
    Status s = co_await client->remove<api::core_v1::Secret>(ctx, "kube-system",
                                                             machines::token_secret_name(id));
    if (!s.ok()) co_return s.with_prefix("failed to delete bootstrap token \"" + id + "\"");
    std::printf("bootstrap token \"%s\" deleted\n", id.c_str());
  }
  co_return Status();
}

Status run_create(TokenFlags f, const std::vector<std::string>& rest) {
  if (rest.size() > 1) return Status::bad_request("at most one token can be given");
  BootstrapToken token = machines::generate_token();
  if (!rest.empty()) {
    TRY_ASSIGN(given, machines::parse_token(rest[0]));
    token = given;
  }
  token.description = f.description;
  token.usages = f.usages;
  token.groups = f.groups;
  if (token.usages.empty()) token.usages = {"signing", "authentication"};
  if (token.groups.empty()) token.groups = {std::string(machines::kNodeTokenGroup)};
  TRY(machines::check_token(token));
  if (f.ttl < Duration(0)) return Status::bad_request("--ttl: want a positive duration, or 0");
  return run_program([f, token](Context ctx) { return create(ctx, f, token); });
}

int create_main(const std::vector<std::string>& args) {
  TokenFlags f;
  Flags flags(
      "Creates a bootstrap token: the one that is given (\"[a-z0-9]{6}.[a-z0-9]{16}\"), or a "
      "random "
      "one.\n\nUsage:\n  keles token create [token]");
  flags.add("kubeconfig", &f.kubeconfig,
            "The kubeconfig file to use when talking to the cluster. Empty: $KUBECONFIG, or "
            "/etc/kubernetes/admin.conf.");
  flags.add("ttl", &f.ttl,
            "The duration before the token is automatically deleted (e.g. 1s, 2m, 3h). If set to "
            "'0', the token will never expire");
  flags.add("usages", &f.usages,
            "Describes the ways in which this token can be used: signing,authentication (the "
            "default).");
  flags.add("groups", &f.groups,
            "Extra groups that this token will authenticate as when used for authentication: by "
            "default system:bootstrappers:kubeadm:default-node-token.");
  flags.add("description", &f.description,
            "A human friendly description of how this token is used.");
  flags.add("print-join-command", &f.print_join_command,
            "Instead of printing only the token, print the full 'keles agent' command with which a "
            "machine joins.");
  return run_command(&flags, args,
                     [&f](const std::vector<std::string>& rest) { return run_create(f, rest); });
}

int list_main(const std::vector<std::string>& args) {
  TokenFlags f;
  Flags flags("Lists bootstrap tokens.\n\nUsage:\n  keles token list [flags]");
  flags.add("kubeconfig", &f.kubeconfig,
            "The kubeconfig file to use when talking to the cluster. Empty: $KUBECONFIG, or "
            "/etc/kubernetes/admin.conf.");
  return run_command(&flags, args, [&f](const std::vector<std::string>& rest) -> Status {
    TRY(no_arguments(rest));
    return run_program([f](Context ctx) { return list(ctx, f); });
  });
}

int delete_main(const std::vector<std::string>& args) {
  TokenFlags f;
  Flags flags(
      "Deletes bootstrap tokens, by the whole token or its id.\n\nUsage:\n  keles token delete "
      "[token-value] ...");
  flags.add("kubeconfig", &f.kubeconfig,
            "The kubeconfig file to use when talking to the cluster. Empty: $KUBECONFIG, or "
            "/etc/kubernetes/admin.conf.");
  return run_command(&flags, args, [&f](const std::vector<std::string>& rest) -> Status {
    if (rest.empty())
      return Status::bad_request(
          std::string("missing argument; 'token delete' is missing token of form ") + kPattern +
          " or " + kIdPattern);
    return run_program([f, rest](Context ctx) { return remove(ctx, f, rest); });
  });
}

int generate_main(const std::vector<std::string>& args) {
  Flags flags(
      "Generates and prints a bootstrap token, but does not create it on the "
      "server.\n\nUsage:\n  keles token generate");
  return run_command(&flags, args, [](const std::vector<std::string>& rest) -> Status {
    TRY(no_arguments(rest));
    std::printf("%s\n", machines::generate_token().text().c_str());
    return Status();
  });
}

constexpr char kHelp[] =
    "Manages bootstrap tokens, with which machines join the cluster.\n\nUsage:\n  keles token "
    "create|delete|generate|list [flags]\n\nUse \"keles token COMMAND --help\" for more.\n";

}  // namespace

int token_main(const std::vector<std::string>& args) {
  const std::string which = args.empty() ? "" : args[0];
  const std::vector<std::string> rest(args.begin() + (args.empty() ? 0 : 1), args.end());
  if (which == "create") return create_main(rest);
  if (which == "list") return list_main(rest);
  if (which == "delete") return delete_main(rest);
  if (which == "generate") return generate_main(rest);
  const bool asked = which == "--help" || which == "-h" || which == "help";
  std::fputs(kHelp, asked ? stdout : stderr);
  return asked ? 0 : 1;
}

}  // namespace keles
