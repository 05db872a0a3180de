#include "cmd/config_file.h"

#include <toml++/toml.h>

#include <CLI/CLI.hpp>
#include <optional>
#include <string>

#include "cmd/read_file.h"

namespace rutile::cmd {
namespace {

std::optional<std::string> AsText(const toml::node& node) {
  if (node.is_string()) return node.ref<std::string>();
  if (node.is_boolean()) return node.ref<bool>() ? "true" : "false";
  if (node.is_integer()) return std::to_string(node.ref<std::int64_t>());
  return std::nullopt;
}

}  // namespace

Status ApplyConfigFile(const std::string& path, CLI::App& command) {
  const Result<std::string> contents = ReadFile(path);
  if (!contents.ok()) return contents.status();
  std::string mistakes;
  const auto mistake = [&](const toml::source_region& where, const std::string& what) {
    mistakes += (mistakes.empty() ? "" : "\n       ") + path + ":" +
                std::to_string(where.begin.line) + ":" + std::to_string(where.begin.column) + ": " +
                what;
  };
  toml::table table;
  try {
    table = toml::parse(contents.value(), path);
  } catch (const toml::parse_error& error) {
    mistake(error.source(), std::string(error.description()));
    return Status(Code::kInvalidArgument, mistakes);
  }
  for (const auto& [key, node] : table) {
    const std::string name(key.str());
    CLI::Option* option = command.get_option_no_throw("--" + name);
    if (option == nullptr || name == "config" || name == "help") {
      mistake(key.source(), "unknown key '" + name +
                                "'; the keys are the long options of 'rutile " +
                                command.get_name() + " --help'");
      continue;
    }
    const std::optional<std::string> text = AsText(node);
    if (!text) {
      mistake(node.source(), "'" + name + "' takes a text, a whole number, true or false");
      continue;
    }
    if (option->count() > 0) continue;  // The command line wins.
    try {
      option->add_result(*text);
      option->run_callback();
    } catch (const CLI::Error& error) {
      mistake(node.source(), error.what());
    }
  }
  if (!mistakes.empty()) return Status(Code::kInvalidArgument, mistakes);
  return {};
}

}  // namespace rutile::cmd
