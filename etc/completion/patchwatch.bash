# bash completion of patchwatch(1). Written by etc/completion/generate.

_patchwatch() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} command='' i options
    COMPREPLY=()
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
        --comment | --config | --database | --expect | --for | --from | --hook | --limit | --match | --node | --region | --scene | --severity | --since | --source | --state | --status | --type | --until) ((i++)) ;;
        -*) ;;
        *)
            command=${COMP_WORDS[i]}
            break
            ;;
        esac
    done

    case $previous in
    --config | --database)
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        return
        ;;
    --status)
        mapfile -t COMPREPLY < <(compgen -W "compliant non_compliant unknown missing" -- "$current")
        return
        ;;
    --scene)
        mapfile -t COMPREPLY < <(compgen -W "ECS CCE BMS" -- "$current")
        return
        ;;
    --type)
        mapfile -t COMPREPLY < <(compgen -W "node.non_compliant node.compliant node.discovered node.missing node.returned node.worsened node.improved node.flapping node.settled fleet.shift source.baseline source.failing source.recovered" -- "$current")
        return
        ;;
    --state)
        mapfile -t COMPREPLY < <(compgen -W "pending delivered dead muted dropped all" -- "$current")
        return
        ;;
    --severity)
        mapfile -t COMPREPLY < <(compgen -W "critical high medium low informational unspecified" -- "$current")
        return
        ;;
    --source | --region | --match | --limit | --since | --node | --hook | --from | --until | --for | --comment | --expect) return ;;
    esac

    if [[ -z $command && $current != -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "status nodes node events sweeps at deliveries mute ack unack sweep reload hook rules backup verify" -- "$current")
        return
    fi
    options="--config --database --json --utc --help --version"
    case $command in
    nodes) options+=" --source --status --region --scene --match" ;;
    node) options+=" --source --limit" ;;
    events) options+=" --since --type --node --follow" ;;
    sweeps) options+=" --source --limit" ;;
    at) options+=" --source --status --region --scene --match" ;;
    deliveries) options+=" --state --hook --since --dead" ;;
    mute) options+=" --source --region --scene --match --node --type --severity --from --until --for --forever --all --comment" ;;
    ack) options+=" --source --until --for --comment" ;;
    unack) options+=" --source" ;;
    rules) options+=" --since" ;;
    backup) options+=" --overwrite" ;;
    verify) options+=" --expect" ;;
    esac
    if [[ $current == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$options" -- "$current")
    elif [[ $command == @(backup) ]]; then
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
    elif [[ $previous == "$command" ]]; then
        case $command in
        deliveries) mapfile -t COMPREPLY < <(compgen -W "retry drop" -- "$current") ;;
        mute) mapfile -t COMPREPLY < <(compgen -W "add list remove" -- "$current") ;;
        hook) mapfile -t COMPREPLY < <(compgen -W "test" -- "$current") ;;
        rules) mapfile -t COMPREPLY < <(compgen -W "test" -- "$current") ;;
        esac
    fi
}
complete -F _patchwatch patchwatch
