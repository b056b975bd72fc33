# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_shibudb_global_optspecs
    string join \n h/help V/version
end

function __fish_shibudb_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_shibudb_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_shibudb_using_subcommand
    set -l cmd (__fish_shibudb_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c shibudb -n "__fish_shibudb_needs_command" -s h -l help -d 'Print help'
complete -c shibudb -n "__fish_shibudb_needs_command" -s V -l version -d 'Print version'
complete -c shibudb -n "__fish_shibudb_needs_command" -f -a "run" -d 'Run the server in the foreground'
complete -c shibudb -n "__fish_shibudb_needs_command" -f -a "start" -d 'Start a server in the background; returns once it is ready'
complete -c shibudb -n "__fish_shibudb_needs_command" -f -a "stop" -d 'Stop a server that `start` began, once its connections are done'
complete -c shibudb -n "__fish_shibudb_needs_command" -f -a "check" -d 'Check a config file and print every problem in it'
complete -c shibudb -n "__fish_shibudb_needs_command" -f -a "manager" -d 'Look at the connection limit of a running server, or move it'
complete -c shibudb -n "__fish_shibudb_needs_command" -f -a "connect" -d 'Talk with a server by hand, or run a script of commands from standard input'
complete -c shibudb -n "__fish_shibudb_needs_command" -f -a "import" -d 'Take over the data directory of a ShibuDB server, while neither server runs'
complete -c shibudb -n "__fish_shibudb_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c shibudb -n "__fish_shibudb_using_subcommand run" -l config -d 'Config file [default: /etc/shibudb/shibudb.toml, if it exists]' -r -F
complete -c shibudb -n "__fish_shibudb_using_subcommand run" -l data-dir -d 'Directory for data, created if missing [default: /var/lib/shibudb for root, else ~/.local/state/shibudb]' -r -F
complete -c shibudb -n "__fish_shibudb_using_subcommand run" -l pid-file -d 'Write the process id here and leave the terminal: how `start` calls `run`' -r -F
complete -c shibudb -n "__fish_shibudb_using_subcommand run" -l log-file -d 'The file that standard error is, to be kept short' -r -F
complete -c shibudb -n "__fish_shibudb_using_subcommand run" -l admin-password-on-stdin -d 'Read the first password of the account admin from standard input: how `run` and `start` keep it out of the environment'
complete -c shibudb -n "__fish_shibudb_using_subcommand run" -s h -l help -d 'Print help'
complete -c shibudb -n "__fish_shibudb_using_subcommand start" -l config -d 'Config file [default: /etc/shibudb/shibudb.toml, if it exists]' -r -F
complete -c shibudb -n "__fish_shibudb_using_subcommand start" -l data-dir -d 'Directory for data, created if missing [default: /var/lib/shibudb for root, else ~/.local/state/shibudb]' -r -F
complete -c shibudb -n "__fish_shibudb_using_subcommand start" -s h -l help -d 'Print help'
complete -c shibudb -n "__fish_shibudb_using_subcommand stop" -s h -l help -d 'Print help'
complete -c shibudb -n "__fish_shibudb_using_subcommand check" -l config -d 'The file to check' -r -F
complete -c shibudb -n "__fish_shibudb_using_subcommand check" -s h -l help -d 'Print help'
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and not __fish_seen_subcommand_from status stats limit increase decrease health reset history connections rejections kill config reload watch help" -l management-port -d 'Port of the management API, if it is configured to be another' -r
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and not __fish_seen_subcommand_from status stats limit increase decrease health reset history connections rejections kill config reload watch help" -l host -d 'Address of the management API, if it is not on this machine\'s 127.0.0.1' -r
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and not __fish_seen_subcommand_from status stats limit increase decrease health reset history connections rejections kill config reload watch help" -l socket -d 'Unix socket of the management API, instead of a port' -r -F
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and not __fish_seen_subcommand_from status stats limit increase decrease health reset history connections rejections kill config reload watch help" -l token-file -d 'File with the token that the server expects' -r -F
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and not __fish_seen_subcommand_from status stats limit increase decrease health reset history connections rejections kill config reload watch help" -l json -d 'Print the answer of the API as it is'
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and not __fish_seen_subcommand_from status stats limit increase decrease health reset history connections rejections kill config reload watch help" -s h -l help -d 'Print help'
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and not __fish_seen_subcommand_from status stats limit increase decrease health reset history connections rejections kill config reload watch help" -a "status" -d 'Show the limit and the active connections'
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and not __fish_seen_subcommand_from status stats limit increase decrease health reset history connections rejections kill config reload watch help" -a "stats" -d 'Show the usage of the limit'
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and not __fish_seen_subcommand_from status stats limit increase decrease health reset history connections rejections kill config reload watch help" -a "limit" -d 'Set the limit'
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and not __fish_seen_subcommand_from status stats limit increase decrease health reset history connections rejections kill config reload watch help" -a "increase" -d 'Raise the limit'
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and not __fish_seen_subcommand_from status stats limit increase decrease health reset history connections rejections kill config reload watch help" -a "decrease" -d 'Lower the limit'
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and not __fish_seen_subcommand_from status stats limit increase decrease health reset history connections rejections kill config reload watch help" -a "health" -d 'Ask whether the server is healthy'
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and not __fish_seen_subcommand_from status stats limit increase decrease health reset history connections rejections kill config reload watch help" -a "reset" -d 'Go back to the configured limit'
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and not __fish_seen_subcommand_from status stats limit increase decrease health reset history connections rejections kill config reload watch help" -a "history" -d 'Show the last changes of the limit, and the refused ones'
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and not __fish_seen_subcommand_from status stats limit increase decrease health reset history connections rejections kill config reload watch help" -a "connections" -d 'Show who is connected'
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and not __fish_seen_subcommand_from status stats limit increase decrease health reset history connections rejections kill config reload watch help" -a "rejections" -d 'Show the addresses that the limit has turned away most often'
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and not __fish_seen_subcommand_from status stats limit increase decrease health reset history connections rejections kill config reload watch help" -a "kill" -d 'End a connection: at once if it is between requests, else when its request is answered'
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and not __fish_seen_subcommand_from status stats limit increase decrease health reset history connections rejections kill config reload watch help" -a "config" -d 'Show every setting, and where its value comes from'
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and not __fish_seen_subcommand_from status stats limit increase decrease health reset history connections rejections kill config reload watch help" -a "reload" -d 'Have the server read its config file again'
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and not __fish_seen_subcommand_from status stats limit increase decrease health reset history connections rejections kill config reload watch help" -a "watch" -d 'Watch connections, limit and changes: a live view on a terminal, else a line a second'
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and not __fish_seen_subcommand_from status stats limit increase decrease health reset history connections rejections kill config reload watch help" -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from status" -l management-port -d 'Port of the management API, if it is configured to be another' -r
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from status" -l host -d 'Address of the management API, if it is not on this machine\'s 127.0.0.1' -r
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from status" -l socket -d 'Unix socket of the management API, instead of a port' -r -F
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from status" -l token-file -d 'File with the token that the server expects' -r -F
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from status" -l json -d 'Print the answer of the API as it is'
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from status" -s h -l help -d 'Print help'
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from stats" -l management-port -d 'Port of the management API, if it is configured to be another' -r
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from stats" -l host -d 'Address of the management API, if it is not on this machine\'s 127.0.0.1' -r
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from stats" -l socket -d 'Unix socket of the management API, instead of a port' -r -F
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from stats" -l token-file -d 'File with the token that the server expects' -r -F
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from stats" -l json -d 'Print the answer of the API as it is'
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from stats" -s h -l help -d 'Print help'
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from limit" -l management-port -d 'Port of the management API, if it is configured to be another' -r
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from limit" -l host -d 'Address of the management API, if it is not on this machine\'s 127.0.0.1' -r
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from limit" -l socket -d 'Unix socket of the management API, instead of a port' -r -F
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from limit" -l token-file -d 'File with the token that the server expects' -r -F
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from limit" -l json -d 'Print the answer of the API as it is'
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from limit" -s h -l help -d 'Print help'
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from increase" -l management-port -d 'Port of the management API, if it is configured to be another' -r
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from increase" -l host -d 'Address of the management API, if it is not on this machine\'s 127.0.0.1' -r
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from increase" -l socket -d 'Unix socket of the management API, instead of a port' -r -F
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from increase" -l token-file -d 'File with the token that the server expects' -r -F
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from increase" -l json -d 'Print the answer of the API as it is'
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from increase" -s h -l help -d 'Print help'
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from decrease" -l management-port -d 'Port of the management API, if it is configured to be another' -r
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from decrease" -l host -d 'Address of the management API, if it is not on this machine\'s 127.0.0.1' -r
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from decrease" -l socket -d 'Unix socket of the management API, instead of a port' -r -F
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from decrease" -l token-file -d 'File with the token that the server expects' -r -F
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from decrease" -l json -d 'Print the answer of the API as it is'
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from decrease" -s h -l help -d 'Print help'
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from health" -l management-port -d 'Port of the management API, if it is configured to be another' -r
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from health" -l host -d 'Address of the management API, if it is not on this machine\'s 127.0.0.1' -r
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from health" -l socket -d 'Unix socket of the management API, instead of a port' -r -F
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from health" -l token-file -d 'File with the token that the server expects' -r -F
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from health" -l json -d 'Print the answer of the API as it is'
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from health" -s h -l help -d 'Print help'
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from reset" -l management-port -d 'Port of the management API, if it is configured to be another' -r
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from reset" -l host -d 'Address of the management API, if it is not on this machine\'s 127.0.0.1' -r
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from reset" -l socket -d 'Unix socket of the management API, instead of a port' -r -F
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from reset" -l token-file -d 'File with the token that the server expects' -r -F
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from reset" -l json -d 'Print the answer of the API as it is'
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from reset" -s h -l help -d 'Print help'
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from history" -l management-port -d 'Port of the management API, if it is configured to be another' -r
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from history" -l host -d 'Address of the management API, if it is not on this machine\'s 127.0.0.1' -r
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from history" -l socket -d 'Unix socket of the management API, instead of a port' -r -F
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from history" -l token-file -d 'File with the token that the server expects' -r -F
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from history" -l json -d 'Print the answer of the API as it is'
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from history" -s h -l help -d 'Print help'
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from connections" -l user -d 'Only those of this user; an empty name stands for all who have not logged in' -r
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from connections" -l peer -d 'Only those from this address, with or without a port' -r
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from connections" -l idle-over -d 'Only those that have been silent for longer, in seconds' -r
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from connections" -l sort -d 'What comes first: the lowest number or name, the oldest, or the most' -r -f -a "id\t''
user\t''
peer\t''
age\t''
idle\t''
requests\t''
bytes_in\t''
bytes_out\t''"
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from connections" -l limit -d 'How many' -r
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from connections" -l management-port -d 'Port of the management API, if it is configured to be another' -r
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from connections" -l host -d 'Address of the management API, if it is not on this machine\'s 127.0.0.1' -r
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from connections" -l socket -d 'Unix socket of the management API, instead of a port' -r -F
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from connections" -l token-file -d 'File with the token that the server expects' -r -F
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from connections" -l json -d 'Print the answer of the API as it is'
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from connections" -s h -l help -d 'Print help'
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from rejections" -l management-port -d 'Port of the management API, if it is configured to be another' -r
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from rejections" -l host -d 'Address of the management API, if it is not on this machine\'s 127.0.0.1' -r
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from rejections" -l socket -d 'Unix socket of the management API, instead of a port' -r -F
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from rejections" -l token-file -d 'File with the token that the server expects' -r -F
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from rejections" -l json -d 'Print the answer of the API as it is'
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from rejections" -s h -l help -d 'Print help'
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from kill" -l management-port -d 'Port of the management API, if it is configured to be another' -r
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from kill" -l host -d 'Address of the management API, if it is not on this machine\'s 127.0.0.1' -r
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from kill" -l socket -d 'Unix socket of the management API, instead of a port' -r -F
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from kill" -l token-file -d 'File with the token that the server expects' -r -F
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from kill" -l json -d 'Print the answer of the API as it is'
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from kill" -s h -l help -d 'Print help'
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from config" -l management-port -d 'Port of the management API, if it is configured to be another' -r
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from config" -l host -d 'Address of the management API, if it is not on this machine\'s 127.0.0.1' -r
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from config" -l socket -d 'Unix socket of the management API, instead of a port' -r -F
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from config" -l token-file -d 'File with the token that the server expects' -r -F
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from config" -l json -d 'Print the answer of the API as it is'
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from config" -s h -l help -d 'Print help'
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from reload" -l management-port -d 'Port of the management API, if it is configured to be another' -r
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from reload" -l host -d 'Address of the management API, if it is not on this machine\'s 127.0.0.1' -r
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from reload" -l socket -d 'Unix socket of the management API, instead of a port' -r -F
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from reload" -l token-file -d 'File with the token that the server expects' -r -F
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from reload" -l json -d 'Print the answer of the API as it is'
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from reload" -s h -l help -d 'Print help'
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from watch" -l management-port -d 'Port of the management API, if it is configured to be another' -r
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from watch" -l host -d 'Address of the management API, if it is not on this machine\'s 127.0.0.1' -r
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from watch" -l socket -d 'Unix socket of the management API, instead of a port' -r -F
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from watch" -l token-file -d 'File with the token that the server expects' -r -F
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from watch" -l json -d 'Print the answer of the API as it is'
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from watch" -s h -l help -d 'Print help'
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from help" -f -a "status" -d 'Show the limit and the active connections'
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from help" -f -a "stats" -d 'Show the usage of the limit'
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from help" -f -a "limit" -d 'Set the limit'
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from help" -f -a "increase" -d 'Raise the limit'
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from help" -f -a "decrease" -d 'Lower the limit'
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from help" -f -a "health" -d 'Ask whether the server is healthy'
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from help" -f -a "reset" -d 'Go back to the configured limit'
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from help" -f -a "history" -d 'Show the last changes of the limit, and the refused ones'
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from help" -f -a "connections" -d 'Show who is connected'
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from help" -f -a "rejections" -d 'Show the addresses that the limit has turned away most often'
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from help" -f -a "kill" -d 'End a connection: at once if it is between requests, else when its request is answered'
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from help" -f -a "config" -d 'Show every setting, and where its value comes from'
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from help" -f -a "reload" -d 'Have the server read its config file again'
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from help" -f -a "watch" -d 'Watch connections, limit and changes: a live view on a terminal, else a line a second'
complete -c shibudb -n "__fish_shibudb_using_subcommand manager; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c shibudb -n "__fish_shibudb_using_subcommand connect" -l user -d 'Who to log in as; the password is asked for, or taken from SHIBUDB_PASSWORD' -r
complete -c shibudb -n "__fish_shibudb_using_subcommand connect" -l host -d 'The machine that the server runs on' -r
complete -c shibudb -n "__fish_shibudb_using_subcommand connect" -s h -l help -d 'Print help'
complete -c shibudb -n "__fish_shibudb_using_subcommand import" -l config -d 'Config file [default: /etc/shibudb/shibudb.toml, if it exists]' -r -F
complete -c shibudb -n "__fish_shibudb_using_subcommand import" -l data-dir -d 'Directory for data, created if missing [default: /var/lib/shibudb for root, else ~/.local/state/shibudb]' -r -F
complete -c shibudb -n "__fish_shibudb_using_subcommand import" -s h -l help -d 'Print help'
complete -c shibudb -n "__fish_shibudb_using_subcommand help; and not __fish_seen_subcommand_from run start stop check manager connect import help" -f -a "run" -d 'Run the server in the foreground'
complete -c shibudb -n "__fish_shibudb_using_subcommand help; and not __fish_seen_subcommand_from run start stop check manager connect import help" -f -a "start" -d 'Start a server in the background; returns once it is ready'
complete -c shibudb -n "__fish_shibudb_using_subcommand help; and not __fish_seen_subcommand_from run start stop check manager connect import help" -f -a "stop" -d 'Stop a server that `start` began, once its connections are done'
complete -c shibudb -n "__fish_shibudb_using_subcommand help; and not __fish_seen_subcommand_from run start stop check manager connect import help" -f -a "check" -d 'Check a config file and print every problem in it'
complete -c shibudb -n "__fish_shibudb_using_subcommand help; and not __fish_seen_subcommand_from run start stop check manager connect import help" -f -a "manager" -d 'Look at the connection limit of a running server, or move it'
complete -c shibudb -n "__fish_shibudb_using_subcommand help; and not __fish_seen_subcommand_from run start stop check manager connect import help" -f -a "connect" -d 'Talk with a server by hand, or run a script of commands from standard input'
complete -c shibudb -n "__fish_shibudb_using_subcommand help; and not __fish_seen_subcommand_from run start stop check manager connect import help" -f -a "import" -d 'Take over the data directory of a ShibuDB server, while neither server runs'
complete -c shibudb -n "__fish_shibudb_using_subcommand help; and not __fish_seen_subcommand_from run start stop check manager connect import help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c shibudb -n "__fish_shibudb_using_subcommand help; and __fish_seen_subcommand_from manager" -f -a "status" -d 'Show the limit and the active connections'
complete -c shibudb -n "__fish_shibudb_using_subcommand help; and __fish_seen_subcommand_from manager" -f -a "stats" -d 'Show the usage of the limit'
complete -c shibudb -n "__fish_shibudb_using_subcommand help; and __fish_seen_subcommand_from manager" -f -a "limit" -d 'Set the limit'
complete -c shibudb -n "__fish_shibudb_using_subcommand help; and __fish_seen_subcommand_from manager" -f -a "increase" -d 'Raise the limit'
complete -c shibudb -n "__fish_shibudb_using_subcommand help; and __fish_seen_subcommand_from manager" -f -a "decrease" -d 'Lower the limit'
complete -c shibudb -n "__fish_shibudb_using_subcommand help; and __fish_seen_subcommand_from manager" -f -a "health" -d 'Ask whether the server is healthy'
complete -c shibudb -n "__fish_shibudb_using_subcommand help; and __fish_seen_subcommand_from manager" -f -a "reset" -d 'Go back to the configured limit'
complete -c shibudb -n "__fish_shibudb_using_subcommand help; and __fish_seen_subcommand_from manager" -f -a "history" -d 'Show the last changes of the limit, and the refused ones'
complete -c shibudb -n "__fish_shibudb_using_subcommand help; and __fish_seen_subcommand_from manager" -f -a "connections" -d 'Show who is connected'
complete -c shibudb -n "__fish_shibudb_using_subcommand help; and __fish_seen_subcommand_from manager" -f -a "rejections" -d 'Show the addresses that the limit has turned away most often'
complete -c shibudb -n "__fish_shibudb_using_subcommand help; and __fish_seen_subcommand_from manager" -f -a "kill" -d 'End a connection: at once if it is between requests, else when its request is answered'
complete -c shibudb -n "__fish_shibudb_using_subcommand help; and __fish_seen_subcommand_from manager" -f -a "config" -d 'Show every setting, and where its value comes from'
complete -c shibudb -n "__fish_shibudb_using_subcommand help; and __fish_seen_subcommand_from manager" -f -a "reload" -d 'Have the server read its config file again'
complete -c shibudb -n "__fish_shibudb_using_subcommand help; and __fish_seen_subcommand_from manager" -f -a "watch" -d 'Watch connections, limit and changes: a live view on a terminal, else a line a second'
